"""The same as `pps-torch env`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="env"))
