"""Part-aware models, and the merge inside of models."""
