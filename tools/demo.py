"""The same as `pps-torch demo`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="demo"))
