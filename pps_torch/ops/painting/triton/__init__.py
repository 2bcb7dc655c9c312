"""The Triton twins of painting."""
