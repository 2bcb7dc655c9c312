"""The train or eval mode of each module of a model, kept over an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Give each module its train or eval mode back at the end, also after an exception.

    Detectron2's own context restores one mode for the whole model, so modules that were frozen in
    eval mode inside a model in train mode come out in train mode. After an exception it restores
    nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
