"""The base of all metrics: integer sums that add up to the same bits in any order."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pps_torch.checks import check_validate, checks_values
from pps_torch.held_tensors import TensorHolder
from pps_torch.metrics.added_counts import add_up
from pps_torch.metrics.results import Result
from pps_torch.ops.backend import check_backend

SelfMetric = TypeVar("SelfMetric", bound="SumMetric")

#: In the state dict of a metric that holds all processes; other state dicts lack it.
_IS_SYNCED = "is_synced"

#: Of a metric that is not synced. By name: torch 2.8 cannot capture a call of frozenset.
_NO_RANKS: frozenset[int] = frozenset()


class SumMetric(TensorHolder):
    """Base of the metrics: its state is a few int64 tensors of sums.

    So batches, processes and devices may be added in any order. Threads may not: each needs a
    metric of its own, and [`merge_state`][pps_torch.metrics.sum_metric.SumMetric.merge_state] adds
    them up. One of the states is `faults`, the inputs that the rules do not cover, by the kinds in
    `fault_names`; a subclass adds its own with `_add_state`. Sums of pixels and segments are exact
    up to 2**63, more than any data set has.

    The sums are no buffers, so nothing that is done to the buffers of a model changes them, and a
    checkpoint of a model that has a metric in it does not hold them unless
    [`persistent`][pps_torch.metrics.sum_metric.SumMetric.persistent] says so. To save an evaluation
    that is half done and go on later, save the `state_dict` of the metric itself.

    That `state_dict` holds the sums, and in its metadata, which `torch.save` keeps, what they
    depend on. `load_state_dict` reads what this and older versions wrote. A state of other
    classes, by other rules or of a newer version is a RuntimeError that names what differs, and
    changes nothing; without the metadata (in a copy of the dict, say) only the shapes and dtypes
    can tell.

    A state that `sync` has added up stays one: the dict of such a metric says so
    (`is_synced`), and where it is loaded `compute` works and an update is refused until
    `reset`, as it would count all processes once for each. To go on counting later, let each
    process save its own state before `sync`.

    Args:
        class_ids: ids of the classes, in class order.
        rules: what else the counts depend on; states add up only where it is equal.
        fault_names: kinds of inputs that the rules do not cover.
        validate: look for such inputs at once, and raise at the update that meets them; None does
            so where it waits for no device, on the CPU; False leaves it to `compute`.
        backend: what counts: `"torch"`, `"triton"`, or `"auto"`, which is Triton on CUDA
            where it is installed. All give the same bits.
    """

    #: Layout of the state dict. One that changes it has to read the earlier ones.
    _version = 2

    faults: Tensor

    def __init__(
        self,
        class_ids: Sequence[int],
        rules: tuple[Any, ...],
        fault_names: Sequence[str],
        validate: bool | None,
        backend: str,
    ) -> None:
        check_backend(backend)
        check_validate(validate)
        super().__init__()
        self.validate = validate
        self.backend = backend
        self.class_ids = tuple(class_ids)
        self.fault_names = tuple(fault_names)
        self._rules = rules
        self._rules_text = repr(rules)
        self._first_layouts: dict[str, int] = {}
        self._is_persistent = False
        self._is_synced = False
        self._synced_ranks: frozenset[int] = frozenset()
        self._add_state("faults", len(self.fault_names))

    def update(self, pred: Any, target: Any) -> SumMetric:
        """Count a batch of images, or a list of them."""
        raise NotImplementedError

    def compute(self) -> Result:
        """Compute the numbers of everything counted so far."""
        raise NotImplementedError

    def forward(self, pred: Any, target: Any) -> Result:
        """Count a batch of images, as `update` does, and return the result of this batch alone.

        It computes, so it waits for the device: `metric(pred, target)` for a look at each batch,
        `update` where only the total matters.

        Args:
            pred, target: as for `update`.

        Raises:
            TypeError, ValueError, RuntimeError: as `update` and `compute` do. A batch of bad ids
                is counted, as by `update`.
        """
        self._check_may_count("forward")
        earlier = [state.clone() for state in self._states()]
        try:
            return self.reset().update(pred, target).compute()
        finally:
            for state, counts in zip(self._states(), earlier):
                state += counts

    def reset(self: SelfMetric) -> SelfMetric:
        """Forget everything."""
        for state in self._states():
            state.zero_()
        self._is_synced, self._synced_ranks = False, _NO_RANKS
        return self

    def persistent(self: SelfMetric, mode: bool = True) -> SelfMetric:
        """Choose whether the checkpoint of a model that has the metric in it holds its counts.

        By default it does not, as in torchmetrics, so that checkpoints of before and after the
        metric came in load alike. The `state_dict` of the metric itself always has them.
        """
        self._is_persistent = mode
        return self

    def merge_state(self: SelfMetric, other: SumMetric) -> SelfMetric:
        """Add what another metric has counted for the same classes by the same rules.

        Raises:
            ValueError: if it counts other classes, or maps ids otherwise, or is this one.
            RuntimeError: if one of the two already holds all processes.
        """
        if other is self:
            raise ValueError(
                "other: expected another metric, found this one, which would count twice"
            )
        if (
            type(self) is not type(other)
            or self.class_ids != other.class_ids
            or self._rules != other._rules
        ):
            raise ValueError(
                f"other: expected a {type(self).__name__} of the classes {self.class_ids} with "
                f"the same meaning of ids and the same rules, found a {type(other).__name__} of "
                f"the classes {getattr(other, 'class_ids', None)}"
            )
        self._check_may_count("merge_state")
        other._check_may_count("merge_state")
        for state, others in zip(self._states(), other._states()):
            state += others.to(state.device)
        return self

    def sync(self: SelfMetric, group: dist.ProcessGroup | None = None) -> SelfMetric:
        """Add up the states of all processes with one all_reduce; each then has the total.

        More than 16,384 sums, as of a confusion of 150 classes, take a second one. Does nothing
        without `torch.distributed`. After it, only `compute` and `reset` make sense: a further
        update would be counted once for every process. That holds where its `state_dict` is
        loaded, too. What a subgroup has added up may be added up further over a group that has one
        process of each subgroup.

        Raises:
            ValueError: if this process is not in the group. In every process of the group, if one
                of them counts other classes or by other rules. No state changes.
            RuntimeError: if the state already holds all processes of the group; in every process
                of the group, if some would be counted twice.
        """
        if not (dist.is_available() and dist.is_initialized()):
            self._check_may_count("sync")
            return self
        if dist.get_rank(group) < 0:
            raise ValueError("group: expected one that this process is in")
        ranks = set(dist.get_process_group_ranks(group or dist.group.WORLD))
        if not self._synced_ranks or ranks <= self._synced_ranks:
            self._check_may_count("sync")
        synced_ranks = self._synced_ranks or frozenset({dist.get_rank()})
        states = self._states()
        counts = torch.cat([state.flatten() for state in states])
        total, synced_ranks = add_up(counts, self._kind(), synced_ranks, group)
        for state, summed in zip(states, total.split([state.numel() for state in states])):
            state.copy_(summed.view_as(state))
        self._is_synced, self._synced_ranks = True, synced_ranks
        return self

    def synced(self: SelfMetric, group: dist.ProcessGroup | None = None) -> SelfMetric:
        """A new metric with the total of all processes; this one stays as it was, and counts on.

        All processes have to call it. Without `torch.distributed` the new one is a copy.

        Raises:
            RuntimeError: if the state already holds all processes.
        """
        self._check_may_count("synced")
        return copy.deepcopy(self).sync(group)

    def extra_repr(self) -> str:
        """The settings, as `print(metric)` shows them."""
        return ", ".join(f"{name}={value!r}" for name, value in self._settings().items())

    def _settings(self) -> dict[str, Any]:
        """The settings that the metric was made with, by name."""
        return {
            "num_classes": len(self.class_ids),
            "validate": self.validate,
            "backend": self.backend,
        }

    def _kind(self) -> str:
        """What two states have in common that may be added: class, classes, rules, sizes."""
        sizes = [tuple(state.shape) for state in self._states()]
        return repr((type(self).__name__, self.class_ids, self._rules, sizes))

    def _update_each(self: SelfMetric, preds: Any, targets: Any) -> SelfMetric:
        """Count the images of two lists, one after the other, for `update`."""
        for name, value in (("pred", preds), ("target", targets)):
            if not isinstance(value, list):
                raise TypeError(
                    f"{name}: expected a list as the other is, found {type(value).__name__}"
                )
        if len(preds) != len(targets):
            raise ValueError(
                f"target: expected a list of {len(preds)}, found one of {len(targets)}"
            )
        for pred, target in zip(preds, targets):
            self.update(pred, target)
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if prefix and not self._is_persistent:
            return
        for name in self.count_names:
            state = getattr(self, name)
            destination[prefix + name] = state if keep_vars else state.detach()
        if self._is_synced:
            destination[prefix + _IS_SYNCED] = self.faults.new_ones((), dtype=torch.bool)
        metadata = getattr(destination, "_metadata", {}).get(prefix[:-1], {})
        metadata.update(class_ids=self.class_ids, rules=repr(self._rules))

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        found, is_synced = self._take_counts(state_dict, prefix, local_metadata)
        num_unexpected = len(unexpected_keys)
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        if not found and not (strict and (self._is_persistent or not prefix)):
            return  # the checkpoint of a model knows nothing of the metric
        differences = self._differences(found, prefix, local_metadata)
        missing = [prefix + name for name in self.count_names if name not in found]
        if strict:
            missing_keys += missing
        elif missing:
            differences.append(f"{prefix}: expected all sums or none, {missing} are missing")
        error_msgs += differences
        if not (differences or missing or len(unexpected_keys) > num_unexpected):
            for name, counts in found.items():
                getattr(self, name).copy_(counts)
            self._is_synced, self._synced_ranks = is_synced, frozenset()

    def _take_counts(
        self, state_dict: dict[str, Any], prefix: str, metadata: Mapping[str, Any]
    ) -> tuple[dict[str, Tensor], bool]:
        """Take this metric's sums, and whether they are synced, out of a state dict.

        A sum that the layout of the state dict did not have yet is 0.
        """
        is_synced = bool(state_dict.pop(prefix + _IS_SYNCED, False))
        names = [name for name in self.count_names if prefix + name in state_dict]
        found = {name: state_dict.pop(prefix + name) for name in names}
        version = metadata.get("version") or 1
        for name, first_layout in self._first_layouts.items():
            if version < first_layout and "faults" in found:
                found.setdefault(name, torch.zeros_like(getattr(self, name)))
        return found, is_synced

    def _differences(
        self, counts: Mapping[str, Any], prefix: str, metadata: Mapping[str, Any]
    ) -> list[str]:
        """Reasons why a state cannot be this metric's, as messages."""
        version = metadata.get("version") or 1
        if version > self._version:
            return [f"{prefix}: expected layout {self._version} or older, found {version}"]
        for name, own in (("class_ids", self.class_ids), ("rules", repr(self._rules))):
            if metadata.get(name, own) != own:
                expected, found = _around_difference(str(own), str(metadata[name]))
                return [f"{prefix}{name}: expected {expected}, found {found}"]
        differences = []
        for name, other in counts.items():
            own = getattr(self, name)
            if (own.dtype, own.shape) != (other.dtype, other.shape):
                expected, found = (f"{t.dtype} {tuple(t.shape)}" for t in (own, other))
                differences.append(f"{prefix}{name}: expected {expected}, found {found}")
        return differences

    def _add_state(self, name: str, *shape: int, first_layout: int = 1) -> None:
        """Add a tensor of int64 sums that is reset, merged, synced and saved with the others.

        Args:
            name, shape: of the tensor.
            first_layout: the first layout of the state dict that has it; it is 0 where an earlier
                one is loaded, which did not count it.
        """
        self._hold_counts(name, *shape)
        self._first_layouts[name] = first_layout

    def _states(self) -> list[Tensor]:
        return [getattr(self, name) for name in self.count_names]

    def _add_faults(self, faults: Tensor) -> None:
        """Count inputs that the rules do not cover; raise ValueError as `validate` says."""
        self.faults += faults
        self._look_at_faults()

    def _look_at_faults(self, *inputs: Any) -> None:
        """Raise ValueError for inputs that the rules do not cover, if `validate` says so now."""
        if checks_values(self.validate, self.faults):
            self._raise_faults(*inputs)

    def _raise_faults(self, *inputs: Any) -> None:
        faults = dict(zip(self.fault_names, self.faults.tolist()))
        found = [f"{number} {name}" for name, number in faults.items() if number]
        if found:
            question = self._question(faults, *inputs)
            raise ValueError(f"{type(self).__name__}: the updates had {'; '.join(found)}{question}")

    def _question(self, faults: Mapping[str, int], *inputs: Any) -> str:
        """The end of the error of faults: cause or remedy; of the last inputs, if given."""
        return ""

    def _check_may_count(self, what: str) -> None:
        if self._is_replica:
            raise RuntimeError(
                f"{what}: a replica that DataParallel makes is gone after the forward, with all "
                "that it counts; count outside of the model, or use DistributedDataParallel"
            )
        if self._is_synced:
            raise RuntimeError(f"{what}: the state already holds all processes; call reset() first")


def _around_difference(one: str, other: str) -> tuple[str, str]:
    """Cut two long texts to the place where they first differ."""
    start = max(0, len(os.path.commonprefix([one, other])) - 30)

    def cut(text: str) -> str:
        return text if len(text) <= 90 else f"...{text[start : start + 60]}..."

    return cut(one), cut(other)
