"""The text that shows the settings of a module, as its constructor takes them."""

from __future__ import annotations

from pps_torch.held_tensors import TensorHolder


def format_settings(module: TensorHolder, *names: str) -> str:
    """Format attributes of a module as arguments: `stuff_ids=[7, 8], score_threshold=0.5`."""
    ids = {name: table.tolist() for name, table in module.tables.items() if name in names}
    return ", ".join(f"{name}={ids.get(name, getattr(module, name))!r}" for name in names)
