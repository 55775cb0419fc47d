"""``python -m onebyone``: the same as the ``onebyone`` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
