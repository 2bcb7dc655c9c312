"""Tensors that a module holds for itself: they move with it, and nothing else changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

SelfHolder = TypeVar("SelfHolder", bound="TensorHolder")


class TensorHolder(nn.Module):
    """Base of modules that hold integer tensors: tables that never change, and counts.

    They are plain attributes, not buffers, since a model's machinery takes all buffers for
    weights: `DistributedDataParallel` overwrites them with those of process 0, moving averages
    average them, casts make them floats, `to_empty` leaves them without values, and they appear in
    checkpoints. Here they follow the module to another device (`to`, `cuda`, `to_empty`) and are
    what they were in every other respect.

    Tables are also kept on the CPU, so that a module made on the device `meta` has them as soon as
    it is on a real one. Counts start at zero there.

    Attributes:
        device: where the tensors are.
        tables: the tables by name, on the CPU.
        count_names: the names of the counts.

    Example:
        >>> class Labels(TensorHolder):
        ...     def __init__(self, ids):
        ...         super().__init__()
        ...         self._hold_tables(ids=torch.tensor(ids, device="cpu"))
        >>> with torch.device("meta"):
        ...     labels = Labels([7, 300])
        >>> labels.half().to_empty(device="cpu").ids
        tensor([  7, 300])
    """

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.empty(0).device
        self.tables: dict[str, Tensor] = {}
        self.count_names: tuple[str, ...] = ()
        self._is_replica = False

    def _hold_tables(self, **tables: Tensor | None) -> None:
        """Hold tensors, which are on the CPU, as attributes that never change; None stays None."""
        with torch.inference_mode(False):
            for name, table in tables.items():
                if table is None:
                    setattr(self, name, None)
                    continue
                self.tables[name] = table.clone()
                setattr(self, name, _held(self.tables[name].to(self.device)))

    def _hold_counts(self, name: str, *shape: int) -> None:
        """Hold a tensor of int64 zeros, as an attribute that is added to in place."""
        with torch.inference_mode(False):
            counts = torch.zeros(shape, dtype=torch.int64, device=self.device)
            setattr(self, name, _held(counts))
        self.count_names = (*self.count_names, name)

    def _table_on(self, name: str, device: torch.device) -> Tensor:
        """The table of a name; in a replica of `DataParallel` on the device that it works on."""
        table: Tensor = getattr(self, name)
        return table.to(device) if self._is_replica else table

    def _replicate_for_data_parallel(self: SelfHolder) -> SelfHolder:
        """Mark a replica, which `DataParallel` makes of buffers and parameters alone."""
        replica: SelfHolder = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        replica._is_replica = True
        return replica

    def _apply(
        self: SelfHolder, fn: Callable[[Tensor], Tensor], recurse: bool = True
    ) -> SelfHolder:
        """Follow the module to the device that `fn` puts tensors on; casts do nothing."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        with torch.inference_mode(False):
            self._move(fn(torch.empty(0, dtype=torch.int64, device=self.device)).device)
        return self

    def _move(self, device: torch.device) -> None:
        was_on_meta, self.device = self.device.type == "meta", device
        for name, table in self.tables.items():
            setattr(self, name, _held(table.to(device)))
        for name in self.count_names:
            count = getattr(self, name)
            moved = torch.zeros_like(count, device=device) if was_on_meta else count.to(device)
            setattr(self, name, _held(moved))

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        *lists: Any,
    ) -> None:
        """Leave the device `meta` where `load_state_dict(assign=True)` takes the model from it."""
        if self.device.type == "meta" and local_metadata.get("assign_to_params_buffers"):
            self._move(torch.empty(0).device)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *lists)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle; one made in inference mode can be used outside of it."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        with torch.inference_mode(False):
            for name, value in self.__dict__.items():
                if isinstance(value, Tensor) and value.is_inference():
                    self.__dict__[name] = _held(value.clone())


def _held(tensor: Tensor) -> Tensor:
    """Let `torch.compile` take a tensor as it takes buffers: of fixed sizes, at a fixed address.

    `torch._dynamo.mark_static` and `mark_static_address` write the same; to import them takes
    longer than all of this package.
    """
    tensor._dynamo_static_indices = set(range(tensor.ndim))  # type: ignore[attr-defined]
    tensor._dynamo_static_input_type = "unguarded"  # type: ignore[attr-defined]
    tensor._has_dynamo_dim_marking = True  # type: ignore[attr-defined]  # torch 2.14 asks first
    return tensor
