"""Scoring, for the metrics: from maps to segments, matches and sums by class."""
