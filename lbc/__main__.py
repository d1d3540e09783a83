"""``python -m lbc`` is the ``lbc`` command; torchrun starts it this way."""

import sys

from lbc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
