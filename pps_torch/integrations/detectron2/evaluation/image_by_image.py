"""What both evaluators share: images by id, each counted once, and one all_reduce at the end."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from pps_torch.integrations.detectron2.evaluation.evaluation_log import show_log
from pps_torch.integrations.detectron2.evaluation.image_counts import ImageCounts
from pps_torch.integrations.detectron2.evaluation.read_ahead import ReadAhead
from pps_torch.integrations.detectron2.evaluation.recorded_images import (
    RecordedImage,
    RecordedShare,
)
from pps_torch.io.atomic import make_folder, write_file
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import normalise_id
from pps_torch.io.json_files import save_json
from pps_torch.metrics.results import Result
from pps_torch.metrics.segment_metric import SegmentMetric
from pps_torch.pipelines.result_layout import results_document
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.results import ResultFiles

logger = logging.getLogger(__name__)

#: How files are written: over those of an earlier evaluation, as Detectron2's evaluators do.
FILE_OPTIONS = RunOptions(overwrite=True, quiet=True)


class ImageByImageEvaluator(DatasetEvaluator):
    """Count the images of a data set one by one, and write results and tables.

    A subclass says how a target is read, how an image is counted, what the results are and what
    the tables hold.

    Args:
        dataset_name: the name that messages begin with.
        image_ids: ids of all images of the data set; images are numbered in this order.
        metrics: what the images are counted by.
        output_dir: folder of the results; None: no file is written.
        tables: whether `output_dir` also gets tables and the evaluated maps.

    Raises:
        InputError: an image id is repeated, or tables have no `output_dir`.
    """

    _map_folder: str
    _result_name: str

    def __init__(
        self,
        dataset_name: str,
        image_ids: Sequence[Any],
        metrics: Sequence[SegmentMetric],
        output_dir: str | None,
        tables: bool,
    ) -> None:
        if tables and output_dir is None:
            raise InputError("tables: expected output_dir, the folder that they go to, found None")
        self._name = dataset_name
        self._has_tables = tables
        self._output_dir = output_dir
        self._maps = Path(output_dir or "", self._map_folder)
        self._metrics = list(metrics)
        self._image_ids = [normalise_id(image_id) for image_id in image_ids]
        self._index = {image_id: index for index, image_id in enumerate(self._image_ids)}
        if len(self._index) != len(self._image_ids):
            raise InputError(f"{dataset_name}: expected each image_id once")
        show_log()
        self._targets = ReadAhead(self._read_target, len(self._image_ids))
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        for metric in self._metrics:
            metric.reset()
        self._counts = ImageCounts(len(self._image_ids), self._metrics)
        self._recorded: dict[int, RecordedImage] = {}
        self._targets.close()

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Count images, except those that this process has counted before.

        Args:
            inputs: the model's input of each image, with its `image_id`.
            outputs: the model's output of each image.

        Raises:
            InputError: names the image, what was expected and what was found.
        """
        for image, output in zip(inputs, outputs):
            with input_errors_at(f"{self._name}: image {image.get('image_id')}"):
                index = self._find(image.get("image_id"))
                if index not in self._counts:
                    self._update(index, image, output)
                    self._counts.take(index)

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Compute the qualities in per cent; every process has to call it, and gets the same.

        Raises:
            InputError: no process had an image, or an image has ids that the rules do not cover.
        """
        self._targets.close()
        num_seen = self._num_seen = self._counts.total()
        if not num_seen:
            raise InputError(f"{self._name}: expected images to evaluate, found none")
        try:
            results, table = self._results()
        except ValueError as error:
            index, cause = self._counts.first_bad_image() or (None, error)
            where = "" if index is None else f"image {self._image_ids[index]}: "
            raise InputError(f"{self._name}: {where}{cause}") from error
        if comm.is_main_process():
            logger.info(f"{self._name}: {num_seen} of {len(self._image_ids)} images\n{table}")
        if self._has_tables:
            self._save_tables()
        return results

    def _document(
        self, results: Mapping[str, Result], settings: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The results of all images in the layout of all files of results."""
        return results_document(results, self._num_seen, settings=settings)

    def _find(self, image_id: Any) -> int:
        index = self._index.get(normalise_id(image_id))
        if index is None:
            raise ValueError(f"image_id: expected one of the data set, found {image_id!r}")
        return index

    def _move_metrics(self, device: torch.device) -> None:
        for metric in self._metrics:
            if metric.class_sums.device != device:
                metric.to(device)

    def _save(self, file_name: str, content: Any) -> None:
        """Begin the files of this evaluation with a JSON file, in the first process.

        Those that an earlier evaluation left in `output_dir` go, so that no folder mixes two.
        """
        if self._output_dir is not None and comm.is_main_process():
            for path in self._outdated_files():
                path.unlink(missing_ok=True)
            make_folder(Path(self._output_dir))
            save_json(Path(self._output_dir) / file_name, content, indent=1)

    def _outdated_files(self) -> list[Path]:
        """The tables, and the map of each image of the data set, that there may be."""
        names = ResultFiles(self._maps.parent, self._result_name, FILE_OPTIONS).names
        maps = [self._map_file(index) for index in range(len(self._image_ids))]
        return [*(self._maps.parent / name for name in names), *maps]

    def _save_tables(self) -> None:
        """Write the maps of the images that count here and, in the first process, the tables."""
        indices = self._counts.counted_here()
        images = {index: image for index, image in self._recorded.items() if index in indices}
        shares = comm.gather(RecordedShare.from_images(images, len(self._metrics[0].class_ids)))
        comm.synchronize()  # the first process has removed the maps of an earlier evaluation
        make_folder(self._maps)
        for index, image in images.items():
            path = self._map_file(index)
            make_folder(path.parent)
            write_file(path, image.png)
        if comm.is_main_process():
            self._write_tables(RecordedShare.from_shares(shares))

    def _map_file(self, index: int) -> Path:
        """The PNG of an evaluated map."""
        return self._maps / f"{self._image_ids[index]}.png"

    def _ids(self, share: RecordedShare) -> list[str]:
        return [self._image_ids[index] for index in share.segments]

    def _read_target(self, index: int) -> Any:
        """Read the ground truth of an image; called in worker threads."""
        raise NotImplementedError

    def _update(self, index: int, image: dict[str, Any], output: dict[str, Any]) -> None:
        """Update the metrics with one image, and record it if there are tables."""
        raise NotImplementedError

    def _results(self) -> tuple[OrderedDict[str, dict[str, float]], str]:
        """Compute the results, and a table of them for the log."""
        raise NotImplementedError

    def _write_tables(self, share: RecordedShare) -> None:
        """Write the tables of all images."""
        raise NotImplementedError
