"""`python -m inference`: segment scans without a server, serve them, and look after the folds."""

import sys

from inference.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
