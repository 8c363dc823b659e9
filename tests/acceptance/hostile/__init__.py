"""What a worker's host may have in the place of rsync when an attacker rules it, and how a test puts it there."""
