"""Damaged input files, on the small data set of `tests/cli`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "cli"))
