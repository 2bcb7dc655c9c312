"""The same as `pps-torch new_spec`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="new_spec"))
