"""Ids that a spec does not know: they are void, counted, and named in one warning at the end."""

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
    """Scene class id -> the parts that a PPS map of `spec` has there, void included."""
    void = {UNDEFINED_PART, spec.ignore_label}
    return {sid: {*void, *spec.part_pids.get(sid, (NO_PART,))} for sid in spec.eval_sids}


class UnknownIds:
    """Counts the pixels of unknown ids, image by image, for one warning about all of them.

    Args:
        what: what the maps hold, e.g. "the semantic maps".
        known: ids that are no surprise, void included.
        outcome: what becomes of the others, e.g. "are void".
        spec_name: who does not know them.
        train_ids: say so when the ids look like train ids 0..18, as Cityscapes' users have them.
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
    def of_scene_classes(cls, what: str, spec: EvalSpec, outcome: str = "are void") -> UnknownIds:
        """Scene class ids that are neither evaluated nor one of the void labels."""
        known = {*spec.eval_sids, spec.ignore_label, 0, PPS_VOID}
        is_cityscapes = "Cityscapes" in spec.dataset.name
        return cls(what, known, outcome, spec.name, train_ids=is_cityscapes)

    def examine(self, ids: np.ndarray) -> dict[str, Any]:
        """Counts one map; called in the workers. The answer, ready for JSON, goes to `add`."""
        counts = count_ids(ids)
        unknown = {value: count for value, count in counts.items() if value not in self.known}
        highest = max(set(counts) - {PPS_VOID}, default=0)
        return {"unknown": list(unknown.items()), "highest": highest}

    def add(self, examined: dict[str, Any]) -> None:
        """Adds the counts of one map."""
        self._pixels.update(dict(map(tuple, examined["unknown"])))
        self._highest = max(self._highest, examined["highest"])

    def collect(self, processes: Processes) -> None:
        """Brings the counts of all processes to the first one."""
        counted = {"unknown": list(self._pixels.items()), "highest": self._highest}
        of_all = processes.gather(counted)
        self._pixels.clear()
        for of_one in of_all:
            self.add(of_one)

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
    """Counts the pixels of PPS maps whose part is none of their class, as `<sid>_<pid>`.

    Classes without parts are left out, as PartPQ does not look at their parts.
    """

    def __init__(self, spec: EvalSpec) -> None:
        super().__init__("the predicted parts", (), "count as a wrong label", spec.name)
        pids = known_pids(spec)
        self._known_pids = {sid: pids[sid] | {PPS_VOID} for sid in spec.parts}

    def examine(self, ids: np.ndarray) -> dict[str, Any]:
        """Counts one PPS map `(3, H, W)`."""
        sids, _, pids = ids
        unknown = [
            (f"{sid}_{pid:02d}", count)
            for sid, known in self._known_pids.items()
            for pid, count in count_ids(pids[sids == sid]).items()
            if pid not in known
        ]
        return {"unknown": unknown, "highest": 0}
