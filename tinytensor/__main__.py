"""``python -m tinytensor``: the command line."""

import sys

from tinytensor.cli import main

if __name__ == "__main__":
    sys.exit(main())
