"""The whole main job on small streets made for the purpose, through the same code as the tools."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from pps_torch.io.json_files import load_json
from pps_torch.io.output_folder import OutputFolder
from pps_torch.pipelines.eval_partpq import eval_partpq
from pps_torch.pipelines.eval_pq import eval_pq
from pps_torch.pipelines.merge_to_panoptic import merge_to_panoptic
from pps_torch.pipelines.merge_to_pps import merge_to_pps
from pps_torch.pipelines.prepare_data import prepare_data
from pps_torch.pipelines.report import report
from pps_torch.pipelines.running.options import RunOptions, tell
from pps_torch.pipelines.visualize import visualize
from pps_torch.specs import EvalSpec
from pps_torch.synthetic.street_files import StreetFolders, write_streets

SPEC_NAME = "cpp_default"
NUM_STREETS = 3
SIZE = (512, 1024)


class DemoFolders(StreetFolders):
    """Where everything of the demo goes: the streets, and what the commands make of them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.images_json = root / "images.json"
        self.panoptic = root / "panoptic"
        self.panoptic_cityscapes = root / "panoptic_cityscapes"
        self.pps = root / "pps"
        self.results = root / "results"
        self.report = root / "report.html"
        self.pictures = root / "pictures"
        self.gt_pictures = root / "gt_pictures"

    def names(self) -> list[str]:
        """The files and folders that the demo puts into its root."""
        return [path.name for path in vars(self).values() if path.parent == self.root]


def demo(output_dir: Path | str, *, options: RunOptions = RunOptions()) -> None:  # noqa: B008
    """Makes streets, predicts them imperfectly, merges, evaluates, draws and reports.

    Args:
        output_dir: gets everything; an earlier demo of the same version in it is replaced.

    Raises:
        InputError: the folder holds files of other origin, or of another version.
    """
    at = DemoFolders(Path(output_dir))
    OutputFolder(at.root, "demo", {}).open(at.names(), options.overwrite)
    steps = replace(options, overwrite=True, quiet=True)
    tell(f"{NUM_STREETS} streets of {SIZE[0]} x {SIZE[1]}, and predictions of them: {at.root}\n")
    write_streets(at, EvalSpec.load(SPEC_NAME), SIZE, NUM_STREETS)
    _merge(at, steps)
    _evaluate(at, steps)
    for maps, pictures in ((at.pps, at.pictures), (at.gt, at.gt_pictures)):
        _say("visualize", SPEC_NAME, maps, pictures, "--photos", at.photos)
        visualize(SPEC_NAME, maps, pictures, photos=at.photos, options=steps)
    tables = at.results / f"{SPEC_NAME}_tables.json"
    _say("report", tables, at.report, "--photos", at.photos)
    report(tables, at.report, photos=at.photos, options=steps)
    tell(f"\nreport, for any browser: {at.report}")
    tell(f"pictures of the predictions: {at.pictures}")
    tell(f"pictures of the ground truth: {at.gt_pictures}")
    tell(f"numbers: {at.results}")


def _merge(at: DemoFolders, options: RunOptions) -> None:
    _say("prepare_data", at.gt, at.root, "Cityscapes")
    prepare_data(at.gt, at.root, "Cityscapes", options=options)
    for instances, output_dir, file_format in (
        (at.coco_instances, at.panoptic, "COCO"),
        (at.cityscapes_instances, at.panoptic_cityscapes, "Cityscapes"),
    ):
        arguments: list[Any] = [SPEC_NAME, instances, at.semantic, output_dir, at.images_json]
        _say("merge_to_panoptic", *arguments, "--instseg_format", file_format)
        merge_to_panoptic(*arguments, instseg_format=file_format, options=options)
    _check_equal(at.panoptic, at.panoptic_cityscapes)
    panoptic = [at.panoptic / "panoptic", at.panoptic / "panoptic.json"]
    arguments = [SPEC_NAME, *panoptic, at.parts, at.images_json, at.pps]
    _say("merge_to_pps", *arguments)
    merge_to_pps(*arguments, options=options)


def _evaluate(at: DemoFolders, options: RunOptions) -> None:
    arguments: list[Any] = [SPEC_NAME, at.gt, at.pps, at.images_json]
    _say("eval_partpq", *arguments, "--save_dir", at.results, "--tables")
    result = eval_partpq(*arguments, save_dir=at.results, tables=True, options=options)
    tell(f"\n{result.table()}\n")
    gt, pred = at.gt_panoptic_json, at.panoptic / "panoptic.json"
    _say("eval_pq", "--gt_json_file", gt, "--pred_json_file", pred, "--save_dir", at.results)
    tell(f"\n{eval_pq(gt, pred, save_dir=at.results, options=options).table()}\n")


def _say(command: str, *arguments: Any) -> None:
    tell(shlex.join(["pps-torch", command, *map(str, arguments)]))


def _check_equal(one: Path, other: Path) -> None:
    """Both instance formats say the same, so they must be merged to the same bytes."""
    annotations = [load_json(path / "panoptic.json")["annotations"] for path in (one, other)]
    names = [annotation["file_name"] for annotation in annotations[0]]
    pngs = [[(path / "panoptic" / name).read_bytes() for name in names] for path in (one, other)]
    if annotations[0] != annotations[1] or pngs[0] != pngs[1]:
        raise RuntimeError(f"{one} and {other} differ, but come from the same instances")
    tell("both instance formats give the same panoptic maps")
