"""Evaluators, and what they read and record."""
