"""`pps-torch` as a program that waits for the files which `never_read` has marked."""

from __future__ import annotations

import sys

from pps_torch.cli.main import main
from tests.cli.small_dataset import never_read_marked_files

never_read_marked_files()
sys.exit(main())
