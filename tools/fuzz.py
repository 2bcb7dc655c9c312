"""Runs the tools on thousands of damaged files: `python tools/fuzz.py -h`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.runner import main  # noqa: E402

sys.exit(main())
