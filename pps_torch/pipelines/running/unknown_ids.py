"""Ids that a spec does not know, or that look like others: counted, and named in one warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from pps_torch.io.image_runs import count_ids
from pps_torch.ops.counting.joint_counts import array_in_range
from pps_torch.pipelines.running.processes import Processes
from pps_torch.printing import first_of
from pps_torch.reserved import NO_PART, PPS_VOID, UNDEFINED_PART
from pps_torch.specs import EvalSpec

_MOST_LISTED = 20


def known_sids(spec: EvalSpec) -> set[int]:
    """The scene class ids that a map may have, void included."""
    return {*spec.eval_sids, spec.ignore_label, 0, PPS_VOID}


def known_pids(spec: EvalSpec) -> dict[int, set[int]]:
    """The part ids that a PPS map may have in each scene class of a spec, void included."""
    void = {UNDEFINED_PART, spec.ignore_label}
    return {sid: {*void, *spec.part_pids.get(sid, (NO_PART,))} for sid in spec.eval_sids}


def without_unknown(pps: np.ndarray, spec: EvalSpec) -> np.ndarray:
    """Replace the classes and parts that the spec does not have by void.

    Args:
        pps: (3, H, W) integers of 0 or more.
        spec: names the classes and their parts.

    Returns:
        (3, H, W) int32; instances are as they were.
    """
    sids, iids, pids = pps.astype(np.int32)
    size = max(spec.eval_sids) + 1, PPS_VOID + 1
    known = np.zeros((size[0] + 1, size[1] + 1), bool)  # the last ones stand for all other ids
    for sid, class_pids in known_pids(spec).items():
        known[sid, [pid for pid in class_pids if pid < size[1]]] = True
    rows, columns = array_in_range(pps[0], size[0]), array_in_range(pps[2], size[1])
    pids = np.where(known[rows, columns], pids, spec.ignore_label)
    sids = np.where(np.isin(sids, spec.eval_sids), sids, spec.ignore_label)
    return np.stack([sids, iids, pids], dtype=np.int32)


def share(count: int, total: int, what: str) -> str:
    """Write how many of all there are: `3 of 12 pixels (25.0 %)`."""
    return f"{count} of {total} {what} ({100 * count / total:.1f} %)"


class UnknownIds:
    """The pixels of unknown ids, counted image by image, for one warning about all of them.

    Args:
        what: what the maps hold, e.g. "the semantic maps".
        known: the known ids, void included.
        outcome: what becomes of the unknown ids, e.g. "are void".
        spec_name: the spec that does not know them.
    """

    def __init__(self, what: str, known: Collection[int], outcome: str, spec_name: str) -> None:
        self.what = what
        self.known = frozenset(known)
        self.outcome = outcome
        self.spec_name = spec_name
        self._unknown: Counter[Any] = Counter()
        self._num_pixels = 0

    def examine(self, ids: np.ndarray, lengths: np.ndarray | None = None) -> dict[str, Any]:
        """Count one map, in a worker; what is returned can be written as JSON and goes to `add`.

        Args:
            ids: of a map `(H, W)`, or of its runs `(R,)`.
            lengths: `(R,)` int64, the pixels of each run; None for a map.
        """
        counts = count_ids(ids, lengths)
        return self._examined(counts, sum(counts.values()))

    def add(self, examined: dict[str, Any]) -> None:
        """Add the counts of one map."""
        self._unknown.update(dict(map(tuple, examined["unknown"])))
        self._num_pixels += examined["num_pixels"]

    def collect(self, processes: Processes) -> None:
        """Bring the counts of all processes to the first one; each process has to call it."""
        counts_by_rank = processes.gather(self._counted())
        self._reset()
        for counts in counts_by_rank:
            self.add(counts)

    def warning(self) -> str | None:
        """The warning about all maps; None where all ids are known."""
        if not self._unknown:
            return None
        by_number = sorted(self._unknown.items(), key=lambda entry: (-entry[1], entry[0]))
        listed = [f"{value} ({count} pixels)" for value, count in by_number]
        pixels = share(self._unknown.total(), self._num_pixels, f"pixels of {self.what}")
        return (
            f"{pixels} have ids that {self.spec_name} does not know and {self.outcome}: "
            f"{first_of(listed, _MOST_LISTED)}"
        )

    @property
    def unknown_share(self) -> float:
        """The fraction of all pixels that have unknown ids."""
        return self._unknown.total() / max(self._num_pixels, 1)

    def _examined(self, counts: Mapping[int, int], num_pixels: int) -> dict[str, Any]:
        unknown = [(value, count) for value, count in counts.items() if value not in self.known]
        return {"unknown": unknown, "num_pixels": num_pixels}

    def _counted(self) -> dict[str, Any]:
        return {"unknown": list(self._unknown.items()), "num_pixels": self._num_pixels}

    def _reset(self) -> None:
        self._unknown.clear()
        self._num_pixels = 0


class UnknownClasses(UnknownIds):
    """Scene class ids that are neither evaluated nor a void label, and what explains them.

    Class indices 0..C-1 in place of ids are recognised: no map has an id of C or more, and some
    pixels have the id 0 or one that is unknown. They may all be known, as where the ids are 1..C;
    then each class is taken for its neighbour.

    Args:
        what: what the maps hold, e.g. "the semantic maps".
        spec: names the classes.
    """

    def __init__(self, what: str, spec: EvalSpec) -> None:
        super().__init__(what, known_sids(spec), "are void", spec.name)
        self._spec = spec
        self._highest = self._num_zeros = 0

    def examine(self, ids: np.ndarray, lengths: np.ndarray | None = None) -> dict[str, Any]:
        """Count one map; arguments as for `UnknownIds`."""
        counts = count_ids(ids, lengths)
        highest = max((value for value in counts if value not in self._void), default=0)
        num_zeros = counts.get(0, 0)
        examined = self._examined(counts, sum(counts.values()))
        return {**examined, "highest": highest, "num_zeros": num_zeros}

    def add(self, examined: dict[str, Any]) -> None:
        """Add the counts of one map."""
        super().add(examined)
        self._highest = max(self._highest, examined["highest"])
        self._num_zeros += examined["num_zeros"]

    def warning(self) -> str | None:
        """The warning about all maps; None where all ids are known and look like ids."""
        text, spec = super().warning(), self._spec
        num_classes = len(spec.eval_sids)
        if not (text or self._num_zeros) or not 0 < self._highest < num_classes:
            return text
        first = spec.eval_sids[0]
        indices = f"class indices 0..{num_classes - 1} (train ids)"
        expected = f"the ids of {spec.name}, such as {first} for {spec.scene_labels[first]}"
        if text is not None:
            return f"{text}; these look like {indices}, expected {expected}"
        pixels = share(self._num_zeros, self._num_pixels, f"pixels of {self.what}")
        return (
            f"{pixels} have id 0, which is void, and none has an id above {self._highest}: if "
            f"these are {indices}, map them to {expected}"
        )

    @property
    def _void(self) -> set[int]:
        return {PPS_VOID, self._spec.ignore_label} - {*self._spec.eval_sids}

    def _counted(self) -> dict[str, Any]:
        highest, num_zeros = self._highest, self._num_zeros
        return {**super()._counted(), "highest": highest, "num_zeros": num_zeros}

    def _reset(self) -> None:
        super()._reset()
        self._highest = self._num_zeros = 0


class UnknownParts(UnknownIds):
    """The pixels whose class does not have their part, by `<sid>_<pid>`.

    Classes without parts are left out, as PartPQ does not look at their parts.

    Args:
        what: what the maps hold, e.g. "the predicted parts".
        known_pids: by the sid of each class with parts, the pids that it may have.
        num_pids: pids are 0..num_pids-1; others are left out.
        outcome, spec_name: as for `UnknownIds`.
    """

    def __init__(
        self,
        what: str,
        known_pids: Mapping[int, Collection[int]],
        num_pids: int,
        outcome: str,
        spec_name: str,
    ) -> None:
        super().__init__(what, (), outcome, spec_name)
        self.num_sids = max(known_pids, default=-1) + 1
        self.num_pids = num_pids
        self._is_unknown = np.zeros((self.num_sids, num_pids), bool)
        for sid, pids in known_pids.items():
            self._is_unknown[sid] = True
            self._is_unknown[sid, list(pids)] = False

    @classmethod
    def predicted(cls, spec: EvalSpec) -> UnknownParts:
        """Those of PPS maps, in the ids of the evaluation."""
        pids = known_pids(spec)
        known = {sid: {pid for pid in pids[sid] | {PPS_VOID} if pid < 256} for sid in spec.parts}
        return cls("the predicted parts", known, 256, "count as a wrong label", spec.name)

    @classmethod
    def annotated(cls, spec: EvalSpec) -> UnknownParts:
        """Those of the ground truth, in the ids of the data set; a uid may have no part level."""
        dataset, known = spec.dataset, {}
        for sid, eval_sid in spec.dataset_sid_to_eval_sid.items():
            if eval_sid in spec.parts:
                folded = {pid for of_sid, pid in dataset.countable_pids if of_sid == sid}
                known[sid] = {*range(len(dataset.part_classes[sid])), *folded}
        outcome = "are undefined, pixels that PartPQ leaves out"
        return cls("the parts of the ground truth", known, 100, outcome, dataset.name)

    def examine_parts(
        self, sids: np.ndarray, pids: np.ndarray, lengths: np.ndarray
    ) -> dict[str, Any]:
        """Count the runs of one map, given scene class, part and pixels of each, `(R,)`."""
        rows, columns = array_in_range(sids, self.num_sids), array_in_range(pids, self.num_pids)
        size = self.num_sids + 1, self.num_pids + 1
        cells = rows * size[1] + columns
        counts = np.bincount(cells, lengths, size[0] * size[1])  # floats, exact up to 2**53
        return self.examine_counts(counts.reshape(size), int(lengths.sum()))

    def examine_counts(self, counts: np.ndarray, num_pixels: int) -> dict[str, Any]:
        """Count one map of so many pixels, of which each class and part is counted already.

        Args:
            counts: `(num_sids + 1, num_pids + 1)`, the last row and column for all other ids, as
                [`joint_counts`][pps_torch.ops.counting.joint_counts.joint_counts] has them.
            num_pixels: of the map.
        """
        counts = counts[: self.num_sids, : self.num_pids]
        unknown = [
            (f"{sid}_{pid:02d}", int(counts[sid, pid]))
            for sid, pid in np.argwhere(self._is_unknown & (counts > 0)).tolist()
        ]
        return {"unknown": unknown, "num_pixels": num_pixels}
