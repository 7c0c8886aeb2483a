"""`python -m inference`: segment scans without a server, serve them, and look after the folds."""

import os
import sys

from inference.cli.app import main

if __name__ == "__main__":
    status = main()
    if "ray" in sys.modules:  # a thread of Ray's that outlives it can abort the process while Python ends
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
