"""Counting, for both other families: pixels, runs of pixels, pairs of ids."""
