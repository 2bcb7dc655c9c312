"""The same as `pps-torch visualize`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="visualize"))
