"""The references' interpreter: panoptic_parts and panopticapi run there, apart from us."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.table import NotRun

SCRIPT = Path(__file__).parent / "in_reference_python.py"

#: Relative to the clone of panoptic_parts, in which the references run.
SPEC = "panoptic_parts/specs/eval_specs/ppq_cpp_19_23_cvpr21_default_evalspec.yaml"


@dataclass
class Reference:
    """Where the references run; false where that is not known."""

    python: Path | None = None
    folder: Path | None = None

    def __bool__(self) -> bool:
        return self.python is not None and self.folder is not None

    def call(self, *arguments: object) -> str:
        """Run in_reference_python.py in the reference's interpreter -> what it prints.

        Raises:
            NotRun: if it fails there; its own message goes to standard error.
        """
        command = list(map(str, [self.python, SCRIPT, *arguments]))
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            print(shlex.join(command), done.stderr, sep="\n", file=sys.stderr)
            last_line = done.stderr.strip().rpartition("\n")[2]
            raise NotRun(f"the reference's interpreter failed: {last_line}")
        return done.stdout

    def partpq_of_maps(self, pps: np.ndarray, gt_uids: np.ndarray) -> dict:
        """PartPQ of `(B, 3, H, W)` maps on one core -> `seconds`, `counts` by class."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "maps.npz")
            np.savez(file, pps=pps, gt_uids=gt_uids)
            found = json.loads(self.call("partpq_of_maps", SPEC, file))
        return {**found, "counts": counts_by_class(found["counts"])}


def counts_by_class(counts: dict[str, list]) -> dict[int, dict]:
    """The references' `[iou, tp, fp, fn]` of each class, by name."""
    return {int(sid): dict(zip(("iou", "tp", "fp", "fn"), c)) for sid, c in counts.items()}
