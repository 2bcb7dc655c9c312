"""Checks random scenes against the slow rules: `python tools/random_scenes.py -h`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from random_scenes.runner import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
