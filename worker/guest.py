"""`python -m worker.guest SETTINGS`: how a start script of before `worker.bootstrap` starts what is there now.

A machine keeps the script that it was made with, and may be given a bundle of today by it.
"""

import sys
from pathlib import Path

from worker.bootstrap.__main__ import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
