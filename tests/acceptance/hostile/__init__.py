"""What a worker's host may have in the place of rsync when somebody else rules it, and how a test puts it there."""
