"""The report of an evaluation: numbers and pictures in one HTML file."""
