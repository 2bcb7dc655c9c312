"""The same as `pps-torch prepare_data`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="prepare_data"))
