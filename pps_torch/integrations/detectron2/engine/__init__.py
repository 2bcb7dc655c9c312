"""The training loop: trainer, evaluation hook, the subset it evaluates."""
