"""What both other families count with: pixels, runs of pixels, pairs of ids."""
