"""`python -m pps_torch NAME ...` is the same as `pps-torch NAME ...`."""

import sys

from pps_torch.cli.main import main

sys.exit(main())
