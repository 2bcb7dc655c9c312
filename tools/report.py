"""The same as `pps-torch report`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="report"))
