"""One case: a small data set with one damaged file, a tool that reads it, and the verdict."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

import torch
from PIL import Image

from pps_torch.cli.main import main
from pps_torch.io import png_rows
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.specs.bundled import FOLDERS
from tests.cli.small_dataset import IDS, SmallDataset
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.other_forms import PPS_FORMS, save_masks, save_pps_maps
from tests.fuzz.readings import Damaged, Unclear, differences, expected_outputs, found_outputs

PARTPQ, PQ, PPS = "eval_partpq", "eval_pq", "merge_to_pps"
NPZ, DEEP, UIDS = (f"{PARTPQ} {form}" for form in PPS_FORMS)
MASKS = f"{PQ} masks"
COCO, CITYSCAPES = "merge_to_panoptic", "merge_to_panoptic Cityscapes"

#: (tool, file), the kinds of files in equal shares.
TARGETS = {
    "spec": [(PARTPQ, "eval_spec.yaml"), (PPS, "eval_spec.yaml"), (PARTPQ, "dataset_spec.yaml")],
    "images.json": [(tool, "images.json") for tool in (COCO, CITYSCAPES, PPS, PARTPQ)],
    "panoptic JSON": [(PPS, "reference/panoptic.json"), (PQ, "gt.json"), (PQ, "pred.json")],
    "instances JSON, RLE": [(COCO, "instances.json")],
    "Cityscapes txt": [(CITYSCAPES, f"instances/{IDS[1]}_pred.txt")],
    "PNG": [
        (COCO, f"semantic/{IDS[1]}_semantic.png"),
        (CITYSCAPES, f"instances/{IDS[1]}_0.png"),
        (PPS, f"parts/{IDS[1]}_parts.png"),
        (PPS, f"reference/panoptic/{IDS[1]}_photo.png"),
        (PQ, f"prediction/{IDS[1]}_photo.png"),
        (PARTPQ, f"reference_pps/{IDS[1]}_photo.png"),
    ],
    "TIFF": [(PARTPQ, f"gt/{IDS[1]}_gtFinePanopticParts.tif")],
    "PPS map of more bits": [
        (NPZ, f"npz/{IDS[1]}_photo.npz"),
        (DEEP, f"png16/{IDS[1]}_photo.png"),
        (UIDS, f"uids/{IDS[1]}_photo.tif"),
    ],
    "masks JSON": [(MASKS, "gt_masks.json"), (MASKS, "pred_masks.json")],
}
_map_images = RunOptions.map_images
_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")


@dataclass(frozen=True)
class Verdict:
    """How a case ended.

    Attributes:
        outcome: `error` (one of our own), `right`, `not judged` (it ended well, where the
            plain reading has no answer of its own), or `BAD`.
        detail: the message of the error, or what is bad.
    """

    outcome: str
    detail: str


class Cases:
    """The data set, damaged and mended again case by case, in one folder.

    Half of the cases, as their number says, run without the fast decoder of PNGs.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        torch.set_num_threads(1)
        self.dataset = SmallDataset(folder / "dataset")
        self.folder, self.seed = self.dataset.folder, seed
        shutil.copytree(self.dataset.panoptic_dir, self.folder / "prediction")
        for name in ("gt.json", "pred.json"):
            shutil.copy(self.dataset.panoptic_json, self.folder / name)
        for kind, name in (("evalspec", "cpp_default"), ("datasetspec", "cpp")):
            text = (FOLDERS[kind] / f"{name}_{kind}.yaml").read_text()
            text = text.replace("cpp_datasetspec.yaml", "dataset_spec.yaml")
            (self.folder / f"{kind.replace('spec', '_spec')}.yaml").write_text(text)
        for form in PPS_FORMS:
            save_pps_maps(self.dataset, form)
        save_masks(
            json.loads(self.dataset.panoptic_json.read_text()),
            self.dataset.panoptic_dir,
            self.folder / "gt_masks.json",
            self.folder / "pred_masks.json",
        )
        # Another prediction than the ground truth, so that there are all kinds of counts.
        shutil.copy(
            self.folder / f"prediction/{IDS[0]}_photo.png",
            self.folder / f"prediction/{IDS[2]}_photo.png",
        )

    def run_undamaged(self, tool: str) -> Verdict:
        """The verdict on files as they should be."""
        try:
            return self._judge(tool, "undamaged")
        finally:
            shutil.rmtree(self.dataset.output, ignore_errors=True)

    def run(self, number: int) -> tuple[str, Verdict]:
        """The kind of a case and how it ended; the same for the same seed and number."""
        rng = Random(f"{self.seed}/{number}")
        kind = rng.choice(list(TARGETS))
        tool, name = rng.choice(TARGETS[kind])
        path = self.folder / name
        before, compiled = path.read_bytes(), png_rows.compiled
        try:
            self._write_damaged(path, before, rng)
            if rng.random() < 0.5:
                png_rows.compiled = None  # Pillow decodes all
            return kind, self._judge(tool, name)
        finally:
            png_rows.compiled = compiled
            path.write_bytes(before)
            shutil.rmtree(self.dataset.output, ignore_errors=True)

    def words(self, tool: str) -> list[str]:
        command, *form = tool.split()
        words = self.dataset.arguments(command if tool.startswith("eval") else tool)
        if tool == MASKS:
            for option, name in (("gt", "gt_masks.json"), ("pred", "pred_masks.json")):
                words += [f"--{option}_json_file", str(self.folder / name)]
        elif tool == PQ:
            for option, name in (
                ("--gt_json_file", "gt.json"),
                ("--gt_folder", "reference/panoptic"),
                ("--pred_json_file", "pred.json"),
                ("--pred_folder", "prediction"),
            ):
                words += [option, str(self.folder / name)]  # the last of an option counts
        else:
            words[1] = str(self.folder / "eval_spec.yaml")
            if command == PARTPQ and form:
                words[3] = str(self.folder / form[0])
        return [*words, "--workers", "1"]

    def _write_damaged(self, path: Path, content: bytes, rng: Random) -> None:
        if path.suffix == ".tif":
            compression = rng.choice(_COMPRESSIONS)
            with Image.open(io.BytesIO(content)) as image:
                buffer = io.BytesIO()
                image.save(buffer, "TIFF", compression=compression)
            content = buffer.getvalue()
        path.write_bytes(MUTATIONS[path.suffix](content, rng))

    def _judge(self, tool: str, name: str) -> Verdict:
        messages, worked = io.StringIO(), []

        def map_images(*arguments):
            """Notes that all images are done."""
            yield from _map_images(*arguments)
            worked.append(arguments)

        with (
            contextlib.redirect_stderr(messages),
            contextlib.redirect_stdout(io.StringIO()),
            mock.patch.object(RunOptions, "map_images", map_images),
        ):
            try:
                code = main(self.words(tool))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                return Verdict("BAD", f"{tool} {name}: {type(error).__name__}: {error}")
        message = messages.getvalue()
        if code != 0:
            if worked:
                return Verdict("BAD", f"{tool} {name}: found after the work: {message!r}")
            return self._judge_message(message, f"{tool} {name}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = expected_outputs(tool, self.folder)
        except Unclear as error:
            return Verdict("not judged", f"{tool} {name}: {error}")
        except Damaged as error:
            return Verdict("BAD", f"{tool} {name}: is read, though it is damaged: {error}")
        different = differences(expected, found_outputs(tool, self.dataset.output))
        if different:
            return Verdict("BAD", f"{tool} {name}: wrong: {different}")
        return Verdict("right", "")

    def _judge_message(self, message: str, case: str) -> Verdict:
        lines = [line for line in message.splitlines() if not line.startswith("warning: ")]
        if len(lines) != 1 or not lines[0].startswith("error: "):
            return Verdict("BAD", f"{case}: expected one line, found {message!r}")
        if str(self.folder) not in lines[0] and "eval_spec" not in lines[0]:
            return Verdict("BAD", f"{case}: names no file: {message!r}")
        if len(lines[0]) > 20_000:
            return Verdict("BAD", f"{case}: a message of {len(lines[0])} characters")
        leftover = list(self.folder.rglob("*.pps_torch_tmp"))
        if leftover:
            return Verdict("BAD", f"{case}: left {leftover}")
        return Verdict("error", lines[0].replace(str(self.folder), ""))
