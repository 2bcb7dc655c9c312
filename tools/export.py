"""The same as `pps-torch export`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="export"))
