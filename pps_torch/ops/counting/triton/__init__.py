"""The Triton twins of counting, and what kernels of all families count with."""
