"""The command `pps-torch`."""
