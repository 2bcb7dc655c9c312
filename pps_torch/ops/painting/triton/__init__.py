"""The Triton twins of painting, and what its kernels share."""
