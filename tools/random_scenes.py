"""Checks random scenes against the slow rules: `python tools/random_scenes.py -h`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.random_scenes.runner import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
