"""The same as `pps-torch eval_pq`."""

import sys

from pps_torch.cli.main import main

sys.exit(main(command="eval_pq"))
