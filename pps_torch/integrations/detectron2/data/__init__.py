"""Data sets, their files and metadata, and what models train on."""
