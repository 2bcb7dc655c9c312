"""The demo: every command runs on a few small streets that it draws itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pps_torch.io.json_files import load_json
from pps_torch.io.output_folder import OutputFolder
from pps_torch.io.terminal import print_result
from pps_torch.pipelines.data_preparation import prepare_data
from pps_torch.pipelines.html_report.report import report
from pps_torch.pipelines.map_drawing import visualize
from pps_torch.pipelines.panoptic_merging import merge_to_panoptic
from pps_torch.pipelines.partpq_evaluation import eval_partpq
from pps_torch.pipelines.pps_merging import merge_to_pps
from pps_torch.pipelines.pq_evaluation import eval_pq
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.specs import EvalSpec
from pps_torch.synthetic.street_files import StreetFolders, write_streets

SPEC_NAME = "cpp_default"
NUM_STREETS = 3
SIZE = (512, 1024)


class DemoFolders(StreetFolders):
    """The files and folders of the demo: the streets, and what the commands make of them."""

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
        """The names of the files and folders that the demo puts into its root."""
        return [path.name for path in vars(self).values() if path.parent == self.root]


def demo(output_dir: Path | str, *, options: RunOptions = RunOptions()) -> None:  # noqa: B008
    """Draw streets, predict them imperfectly, merge, evaluate, visualize and report.

    Each step is printed as the command that does the same.

    Args:
        output_dir: gets everything; an earlier demo of the same version in it is replaced.

    Raises:
        InputError: the folder holds files of other origin, or of another version.
    """
    folders = DemoFolders(Path(output_dir))
    root = folders.root
    with OutputFolder(root, "demo", {}).opened(folders.names(), options.overwrite):
        print_result(f"{NUM_STREETS} streets of {SIZE[0]} x {SIZE[1]}, and predictions: {root}\n")
        write_streets(folders, EvalSpec.load(SPEC_NAME), SIZE, NUM_STREETS)
    steps = _Steps(folders, replace(options, overwrite=True, quiet=True))
    steps.merge()
    steps.evaluate()
    steps.draw()
    print_result(f"\nreport, for any browser: {folders.report}")
    print_result(f"pictures of the predictions: {folders.pictures}")
    print_result(f"pictures of the ground truth: {folders.gt_pictures}")
    print_result(f"numbers: {folders.results}")


class _Steps:
    """The steps of the demo after the drawing of the streets."""

    def __init__(self, folders: DemoFolders, options: RunOptions) -> None:
        self.folders = folders
        self.options = options

    def merge(self) -> None:
        """Merge to panoptic maps, from both formats of instances, and to PPS maps."""
        folders = self.folders
        self._run(prepare_data, folders.gt, folders.root, "Cityscapes")
        for instances, output_dir, instseg_format in (
            (folders.coco_instances, folders.panoptic, "COCO"),
            (folders.cityscapes_instances, folders.panoptic_cityscapes, "Cityscapes"),
        ):
            self._run(
                merge_to_panoptic,
                *(SPEC_NAME, instances, folders.semantic, output_dir, folders.images_json),
                instseg_format=instseg_format,
            )
        _check_equal(folders.panoptic, folders.panoptic_cityscapes)
        self._run(
            merge_to_pps,
            *(SPEC_NAME, folders.panoptic / "panoptic", folders.panoptic / "panoptic.json"),
            *(folders.parts, folders.images_json, folders.pps),
        )

    def evaluate(self) -> None:
        """Evaluate with PartPQ and with PQ, and print the tables."""
        folders = self.folders
        part_result = self._run(
            eval_partpq,
            *(SPEC_NAME, folders.gt, folders.pps, folders.images_json),
            save_dir=folders.results,
            tables=True,
        )
        print_result(f"\n{part_result.table()}\n")
        result = self._run(
            eval_pq,
            gt_json_file=folders.gt_panoptic_json,
            pred_json_file=folders.panoptic / "panoptic.json",
            save_dir=folders.results,
        )
        print_result(f"\n{result.table()}\n")

    def draw(self) -> None:
        """Draw the predictions and the ground truth, and write the report."""
        folders = self.folders
        for maps, pictures in (
            (folders.pps, folders.pictures),
            (folders.gt, folders.gt_pictures),
        ):
            self._run(visualize, SPEC_NAME, maps, pictures, photos=folders.photos)
        tables = folders.results / f"{SPEC_NAME}_tables.json"
        self._run(report, tables, folders.report, photos=folders.photos)

    def _run(self, function: Callable[..., Any], *arguments: Any, **named_arguments: Any) -> Any:
        """Print a step as the command that does the same, and run it."""
        words = ["pps-torch", function.__name__, *map(str, arguments)]
        for name, value in named_arguments.items():
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        print_result(shlex.join(words))
        return function(*arguments, **named_arguments, options=self.options)


def _check_equal(one: Path, other: Path) -> None:
    """Check that both formats of the same instances were merged to the same bytes."""
    annotations = [load_json(path / "panoptic.json")["annotations"] for path in (one, other)]
    names = [annotation["file_name"] for annotation in annotations[0]]
    pngs = [[(path / "panoptic" / name).read_bytes() for name in names] for path in (one, other)]
    if annotations[0] != annotations[1] or pngs[0] != pngs[1]:
        raise RuntimeError(f"{one} and {other} differ, but come from the same instances")
    print_result("both instance formats give the same panoptic maps")
