"""A check of the file of weights that a configuration names, before Detectron2 asserts it."""

from __future__ import annotations

from pathlib import Path

from detectron2.utils.file_io import PathManager

from pps_torch.io.errors import InputError


def check_weights(weights: str, key: str) -> None:
    """Raise InputError, with the configuration's key, if there is no file of these weights.

    Args:
        weights: path of a checkpoint. URLs are left to Detectron2, and an empty path means none.
        key: where it stands, e.g. `MODEL.WEIGHTS`.
    """
    is_url = "://" in weights
    if weights and not is_url and not Path(PathManager.get_local_path(weights)).is_file():
        raise InputError(f"{key}: expected a file of weights, found no such file: {weights}")
