"""The same as `pps-torch eval_partpq`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="eval_partpq"))
