"""The tests, and what they share: `from tests.factories import ...`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
