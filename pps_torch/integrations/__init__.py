"""Adapters for other libraries; importing one needs that library, nothing else here does."""
