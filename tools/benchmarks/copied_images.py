"""Copies of one real image with its predictions, and our commands on them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from pps_torch.io.pairing import GROUND_TRUTH_SUFFIXES

TOOLS = Path(__file__).parent.parent


class CopiedImages:
    """One image and its predictions, copied as often as a measurement needs it."""

    def __init__(self, folder: Path, image_dir: Path) -> None:
        self.folder = folder
        self.source = image_dir.resolve()
        self.image = json.loads((self.source / "images.json").read_text())["images"][0]
        expected = self.source / "expected"
        self.gt_file = next(
            path
            for path in self.source.rglob(f"*{self.image['id']}*")
            if path.suffix.lower() in GROUND_TRUTH_SUFFIXES and expected not in path.parents
        )
        self.size = (self.image["height"], self.image["width"])

    def make(self, copies: int) -> Path:
        """A data set of that many copies, with our own merged panoptic and PPS maps."""
        root = self.folder / str(copies)
        if root.exists():
            return root
        predictions = self.source / "predictions"
        instances = json.loads((predictions / "instances_coco.json").read_text())
        sources = {
            "gt": self.gt_file,
            "semantic": next((predictions / "semantic").glob("*.png")),
            "parts": next((predictions / "parts").glob("*.png")),
        }
        images, copied_instances = [], []
        for number in range(copies):
            image_id = f"copy_{number:06d}"
            images.append({**self.image, "id": image_id, "file_name": f"{image_id}.png"})
            copied_instances += [{**instance, "image_id": image_id} for instance in instances]
            for name, source in sources.items():
                (root / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, root / name / f"{image_id}{source.suffix}")
        (root / "images.json").write_text(json.dumps({"images": images}))
        (root / "instances.json").write_text(json.dumps(copied_instances))
        for tool in ("merge_to_panoptic", "merge_to_pps"):
            subprocess.run(our_command(tool, root, root / tool), check=True)
        return root


def our_command(tool: str, root: Path, output: Path, *options: str) -> list[str]:
    """One of our tools on a data set of copies."""
    return [
        sys.executable,
        str(TOOLS / f"{tool}.py"),
        *tool_arguments(tool, "cpp_default", root, output, root / "merge_to_panoptic"),
        "--device=cpu",
        "--quiet",
        *options,
    ]


def tool_arguments(tool: str, spec: str, root: Path, output: Path, panoptic: Path) -> list[str]:
    """The arguments that our tools and panoptic_parts' have in common."""
    arguments = {
        "merge_to_panoptic": [
            spec,
            root / "instances.json",
            root / "semantic",
            output,
            root / "images.json",
        ],
        "merge_to_pps": [
            spec,
            panoptic / "panoptic",
            panoptic / "panoptic.json",
            root / "parts",
            root / "images.json",
            output,
        ],
        "eval_partpq": [spec, root / "gt", root / "merge_to_pps", root / "images.json"],
    }
    return list(map(str, arguments[tool]))
