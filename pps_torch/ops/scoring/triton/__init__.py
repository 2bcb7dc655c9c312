"""The Triton twins of scoring."""
