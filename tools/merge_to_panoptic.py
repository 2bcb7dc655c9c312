"""The same as `pps-torch merge_to_panoptic`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="merge_to_panoptic"))
