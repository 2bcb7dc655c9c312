"""The text that shows the settings of a module, as its constructor takes them."""

from __future__ import annotations

from torch import Tensor, nn


def format_settings(module: nn.Module, *names: str) -> str:
    """Format attributes of a module as arguments: `stuff_ids=[7, 8], score_threshold=0.5`."""
    return ", ".join(f"{name}={_as_argument(getattr(module, name))!r}" for name in names)


def _as_argument(value: object) -> object:
    """The list that a tensor of ids was made from, where it has values; else the value itself."""
    return value.tolist() if isinstance(value, Tensor) and not value.is_meta else value
