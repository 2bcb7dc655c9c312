"""`python -m pps_torch NAME ...` is the same as `pps-torch NAME ...`."""

import sys

from pps_torch.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
