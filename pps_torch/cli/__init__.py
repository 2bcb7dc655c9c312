"""The command pps-torch."""
