"""What the metrics call: maps become segments, matches and sums by class."""
