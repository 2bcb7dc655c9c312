"""Ids that a spec does not know: made void, counted, and named in one warning at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from pps_torch.io.images import count_ids
from pps_torch.pipelines.running.processes import Processes
from pps_torch.reserved import NO_PART, PPS_VOID, UNDEFINED_PART
from pps_torch.specs import EvalSpec

_HIGHEST_TRAIN_ID = 18
_MOST_LISTED = 20


def known_pids(spec: EvalSpec) -> dict[int, set[int]]:
    """The part ids that a PPS map may have in each scene class of a spec, void included."""
    void = {UNDEFINED_PART, spec.ignore_label}
    return {sid: {*void, *spec.part_pids.get(sid, (NO_PART,))} for sid in spec.eval_sids}


def without_unknown(pps: np.ndarray, spec: EvalSpec) -> np.ndarray:
    """Replace the classes and parts that the spec does not have by void.

    Args:
        pps: (3, H, W) uint8, what a PPS PNG holds.
        spec: names the classes and their parts.

    Returns:
        (3, H, W) int32; instances are as they were.
    """
    sids, iids, pids = pps.astype(np.int32)
    known = np.zeros((256, 256), bool)  # a PPS PNG has no higher ids
    for sid, class_pids in known_pids(spec).items():
        if sid < 256:
            known[sid, [pid for pid in class_pids if pid < 256]] = True
    pids = np.where(known[sids, pids], pids, spec.ignore_label)
    sids = np.where(np.isin(sids, spec.eval_sids), sids, spec.ignore_label)
    return np.stack([sids, iids, pids], dtype=np.int32)


class UnknownIds:
    """The pixels of unknown ids, counted image by image, for one warning about all of them.

    Args:
        what: what the maps hold, e.g. "the semantic maps".
        known: the known ids, void included.
        outcome: what becomes of the unknown ids, e.g. "are void".
        spec_name: the spec that does not know them.
        train_ids: whether the warning may say that the ids look like Cityscapes' train ids 0..18.
    """

    def __init__(
        self,
        what: str,
        known: Collection[int],
        outcome: str,
        spec_name: str,
        train_ids: bool = False,
    ) -> None:
        self.what = what
        self.known = frozenset(known)
        self.outcome = outcome
        self.spec_name = spec_name
        self.train_ids = train_ids
        self._pixels: Counter[Any] = Counter()
        self._highest = 0

    @classmethod
    def for_scene_classes(cls, what: str, spec: EvalSpec, outcome: str = "are void") -> UnknownIds:
        """Count scene class ids that are neither evaluated nor one of the void labels."""
        known = {*spec.eval_sids, spec.ignore_label, 0, PPS_VOID}
        is_cityscapes = "Cityscapes" in spec.dataset.name
        return cls(what, known, outcome, spec.name, train_ids=is_cityscapes)

    def examine(self, ids: np.ndarray) -> dict[str, Any]:
        """Count one map, in a worker; what is returned can be written as JSON and goes to `add`."""
        counts = count_ids(ids)
        unknown = {value: count for value, count in counts.items() if value not in self.known}
        highest = max(set(counts) - {PPS_VOID}, default=0)
        return {"unknown": list(unknown.items()), "highest": highest}

    def add(self, examined: dict[str, Any]) -> None:
        """Add the counts of one map."""
        self._pixels.update(dict(map(tuple, examined["unknown"])))
        self._highest = max(self._highest, examined["highest"])

    def collect(self, processes: Processes) -> None:
        """Bring the counts of all processes to the first one; each process has to call it."""
        counted = {"unknown": list(self._pixels.items()), "highest": self._highest}
        counts_by_rank = processes.gather(counted)
        self._pixels.clear()
        for counts in counts_by_rank:
            self.add(counts)

    def warning(self) -> str | None:
        """The warning about all maps; None where all ids are known."""
        if not self._pixels:
            return None
        by_number = sorted(self._pixels.items(), key=lambda entry: (-entry[1], entry[0]))
        listed = [f"{value} ({count} pixels)" for value, count in by_number]
        shown = ", ".join(listed[:_MOST_LISTED])
        more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
        text = (
            f"{sum(self._pixels.values())} pixels of {self.what} have ids that {self.spec_name} "
            f"does not know and {self.outcome}: {shown}{more}"
        )
        if self.train_ids and self._highest <= _HIGHEST_TRAIN_ID:
            text += "; these look like Cityscapes train ids 0..18, expected dataset ids"
        return text


class UnknownParts(UnknownIds):
    """The pixels of PPS maps whose class does not have their part, by `<sid>_<pid>`.

    Classes without parts are left out, as PartPQ does not look at their parts.
    """

    def __init__(self, spec: EvalSpec) -> None:
        super().__init__("the predicted parts", (), "count as a wrong label", spec.name)
        pids = known_pids(spec)
        self._known_pids = {sid: pids[sid] | {PPS_VOID} for sid in spec.parts}

    def examine(self, ids: np.ndarray) -> dict[str, Any]:
        """Count one PPS map `(3, H, W)`."""
        sids, _, pids = ids
        unknown = [
            (f"{sid}_{pid:02d}", count)
            for sid, known in self._known_pids.items()
            for pid, count in count_ids(pids[sids == sid]).items()
            if pid not in known
        ]
        return {"unknown": unknown, "highest": 0}
