"""`python -m tlru` is `tlru`."""

import sys

from tlru.cli import main

if __name__ == "__main__":
    sys.exit(main())
