"""The Triton twins of counting, and device functions that kernels of all families count with."""
