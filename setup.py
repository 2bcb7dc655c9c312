"""Installs pps_torch and the command pps-torch."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "pps_torch/version.py").read_text())[1]

setup(
    name="pps_torch",
    version=VERSION,
    description="Panoptic and part-aware panoptic segmentation on tensors: merging, PQ, PartPQ",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["pps_torch", "pps_torch.*"]),
    package_data={"pps_torch.specs": ["dataset_specs/*.yaml", "eval_specs/*.yaml"]},
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "pillow>=10.1",
        "pycocotools>=2.0.7",
        "PyYAML>=6.0",
        "tqdm>=4.60",
    ],
    extras_require={
        "test": ["pytest>=8", "hypothesis>=6.100", "ruff>=0.6"],
        # Detectron2 is in no package index; the README says how to install it.
        "detectron2": [
            "torchvision>=0.19",
            "fvcore",
            "iopath",
            "omegaconf",
            "hydra-core",
            "yacs",
            "tabulate",
            "cloudpickle",
            "termcolor",
        ],
    },
    entry_points={"console_scripts": ["pps-torch=pps_torch.cli.main:main"]},
)
