"""An evaluation as something to look at: tables of its segments, and one HTML file."""
