"""Versions and what is available, for bug reports."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform

import torch

from pps_torch.io.workers import available_cores
from pps_torch.ops import backend as backends
from pps_torch.version import __version__

NEEDED = ("torch", "numpy", "pillow", "pycocotools", "PyYAML", "tqdm", "zlib-ng")

COMPILED = ("runs", "png_rows")

#: The optional libraries: the name of the distribution by that of the module.
OPTIONAL = {
    "triton": "triton",
    "jinja2": "jinja2",
    "torchvision": "torchvision",
    "detectron2": "detectron2",
    "transformers": "transformers",
    "torchmetrics": "torchmetrics",
    "mmdet": "mmdet",
    "cv2": "opencv-python-headless",
    "matplotlib": "matplotlib",
}


def environment() -> dict[str, str]:
    """Collect the versions, devices and optional libraries of this process, by name.

    Example:
        >>> environment()["pps_torch"] == __version__
        True
    """
    return {
        "pps_torch": __version__,
        "python": f"{platform.python_version()}, {platform.platform()}",
        "cores": f"{available_cores()}, torch uses {torch.get_num_threads()}",
        **{name: _version(name) for name in NEEDED},
        "compiled": _compiled(),
        **_devices(),
        'backend "auto"': _backends(),
        **{module: _optional(module, name) for module, name in OPTIONAL.items()},
    }


def environment_table() -> str:
    """The environment as lines of text, a name and what was found."""
    found = environment()
    width = max(map(len, found))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in found.items())


def _compiled() -> str:
    """The modules of `pps_torch.compiled`, and why one is not used."""
    found = []
    for name in COMPILED:
        try:
            importlib.import_module(f"pps_torch.compiled.{name}")
            found.append(name)
        except ImportError as error:
            found.append(f"not {name}: {error}")
    return "; ".join(found)


def _version(distribution: str) -> str:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "found, its version is not recorded"


def _optional(module: str, distribution: str) -> str:
    if importlib.util.find_spec(module) is None:
        return "not installed"
    return _version(distribution)


def _devices() -> dict[str, str]:
    built_for = torch.version.cuda
    if not torch.cuda.is_available():
        reason = f"torch is built for {built_for}, no GPU found" if built_for else "torch has none"
        return {"CUDA": f"not available: {reason}"}
    found = {"CUDA": f"{built_for}"}
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        memory = f"{gpu.total_memory / 2**30:.0f} GiB"
        found[f"cuda:{index}"] = f"{gpu.name}, {memory}, sm_{gpu.major}{gpu.minor}"
    return found


def _backends() -> str:
    """Which backend `auto` chooses on each device, and the settings that decide it."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    chosen = []
    for device in devices:
        try:
            is_triton = backends.uses_triton("auto", torch.empty(0, device=device))
        except (RuntimeError, ValueError) as obstacle:
            chosen.append(f"{device}: {obstacle}")
        else:
            chosen.append(f"{device}: {'triton' if is_triton else 'torch'}")
    setting = os.environ.get(backends.ENVIRONMENT_VARIABLE)
    asked = f"{backends.ENVIRONMENT_VARIABLE}={setting}" if setting is not None else "nothing set"
    is_interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    interpreter = f"Triton's interpreter {'on' if is_interpreted else 'off'}"
    return "; ".join([*chosen, asked, interpreter])
