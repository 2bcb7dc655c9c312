"""The base of all metrics: integer sums that add up to the same bits in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pps_torch.ops.dispatch import check_backend

SelfMetric = TypeVar("SelfMetric", bound="SumMetric")


class SumMetric(nn.Module):
    """Base of the metrics: its state is a few int64 buffers of sums.

    So batches, processes and devices may be added in any order. One of the states is ``faults``,
    the inputs that the rules do not cover, by the kinds in ``fault_names``; a subclass adds its own
    with :meth:`_add_state`.

    Args:
        class_ids: ids of the classes, in class order.
        rules: what else the counts depend on; states add up only where it is equal.
        fault_names: kinds of inputs that the rules do not cover.
        validate: raise at the update that meets such inputs.
        backend: what counts: ``"torch"``, ``"triton"``, or ``"auto"``, which is Triton on CUDA
            where it is installed. All give the same bits.
    """

    faults: Tensor

    def __init__(
        self,
        class_ids: Sequence[int],
        rules: tuple[Any, ...],
        fault_names: Sequence[str],
        validate: bool,
        backend: str,
    ) -> None:
        check_backend(backend)
        super().__init__()
        self.validate = validate
        self.backend = backend
        self.class_ids = tuple(class_ids)
        self.fault_names = tuple(fault_names)
        self._rules = rules
        self._fingerprint = repr(rules)
        self._state_names: list[str] = []
        self._is_synced = False
        self._add_state("faults", len(self.fault_names))

    def reset(self: SelfMetric) -> SelfMetric:
        """Forgets everything."""
        for state in self._states():
            state.zero_()
        self._is_synced = False
        return self

    def merge_state(self: SelfMetric, other: SumMetric) -> SelfMetric:
        """Adds what another metric has counted for the same classes by the same rules.

        Raises:
            ValueError: if it counts other classes, or maps ids otherwise, or is this one.
            RuntimeError: if one of the two already holds all processes.
        """
        if other is self:
            raise ValueError(
                "other: expected another metric, got this one, which would count twice"
            )
        if (
            type(self) is not type(other)
            or self.class_ids != other.class_ids
            or self._rules != other._rules
        ):
            raise ValueError(
                f"other: expected a {type(self).__name__} of the classes {self.class_ids} with "
                f"the same meaning of ids and the same rules, got a {type(other).__name__} of the "
                f"classes {getattr(other, 'class_ids', None)}"
            )
        self._refuse_after_sync("merge_state")
        other._refuse_after_sync("merge_state")
        for state, others in zip(self._states(), other._states()):
            state += others.to(state.device)
        return self

    def sync(self: SelfMetric, group: dist.ProcessGroup | None = None) -> SelfMetric:
        """Adds up the states of all processes with one all_reduce; each then has the total.

        Does nothing without ``torch.distributed``. After it, only ``compute`` and ``reset`` make
        sense: a further update would be counted once for every process.
        """
        self._refuse_after_sync("sync")
        if dist.is_available() and dist.is_initialized():
            states = self._states()
            total = torch.cat([state.flatten() for state in states])
            dist.all_reduce(total, group=group)
            sizes = [state.numel() for state in states]
            for state, summed in zip(states, total.split(sizes)):
                state.copy_(summed.view_as(state))
            self._is_synced = True
        return self

    def _add_state(self, name: str, *shape: int) -> None:
        """A buffer of int64 sums that is reset, merged, synced and saved with the others."""
        with torch.inference_mode(False):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64))
        self._state_names.append(name)

    def _states(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._state_names]

    def _add_faults(self, faults: Tensor) -> None:
        """Counts inputs that the rules do not cover; raises ValueError if ``validate`` is on."""
        self.faults += faults
        if self.validate:
            self._raise_faults()

    def _raise_faults(self) -> None:
        faults = dict(zip(self.fault_names, self.faults.tolist()))
        found = [f"{number} {name}" for name, number in faults.items() if number]
        if found:
            raise ValueError(f"{type(self).__name__}: the updates had {'; '.join(found)}")

    def _refuse_after_sync(self, what: str) -> None:
        if self._is_synced:
            raise RuntimeError(f"{what}: the state already holds all processes; call reset() first")
