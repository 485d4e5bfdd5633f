"""``python -m sclong_core`` is ``sclong``, for launchers that start a module (torchrun -m)."""

import sys

from sclong_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
