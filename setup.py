"""Installs pps_torch and the command pps-torch."""

import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "pps_torch/version.py").read_text())[1]

REPORT = ["jinja2>=3.1"]
HUGGINGFACE = ["transformers>=4.50", "scipy"]  # its Mask2Former and MaskFormer need scipy
TORCHVISION = ["torchvision>=0.21"]
TORCHMETRICS = ["torchmetrics>=1.4"]
EXPORT = ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"]
# What Detectron2 itself needs; it is in no package index, the docs say how to install it.
DETECTRON2 = [
    *TORCHVISION,
    "fvcore",
    "iopath",
    "omegaconf",
    "hydra-core",
    "yacs",
    "tabulate",
    "cloudpickle",
    "termcolor",
    "tensorboard",
    "matplotlib",
    "opencv-python-headless",
]


# The modules of `pps_torch/compiled/`, each left out where it cannot be built.
COMPILED = [
    Extension(
        f"pps_torch.compiled.{name}",
        [f"pps_torch/compiled/{name}.pyx"],
        language="c++",
        extra_compile_args=["-std=c++20", "-O3"],
        optional=True,
    )
    for name in ("runs", "png_rows")
]

setup(
    name="pps_torch",
    version=VERSION,
    description="Panoptic and part-aware panoptic segmentation on tensors: merging, PQ, PartPQ",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The pps_torch authors",
    license="Apache-2.0",
    keywords="panoptic segmentation, part segmentation, panoptic quality, PartPQ, PyTorch, Triton",
    project_urls={  # whose tasks, metrics and rules these are
        "Panoptic Segmentation": "https://arxiv.org/abs/1801.00868",
        "Part-aware Panoptic Segmentation": "https://arxiv.org/abs/2106.06351",
        "panopticapi": "https://github.com/cocodataset/panopticapi",
        "panoptic_parts": "https://github.com/pmeletis/panoptic_parts",
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["pps_torch", "pps_torch.*"]),
    ext_modules=COMPILED if sys.byteorder == "little" else [],  # they take words apart
    package_data={
        "pps_torch": ["py.typed"],
        "pps_torch.compiled": ["*.pyx"],
        "pps_torch.specs": ["dataset_specs/*.yaml", "eval_specs/*.yaml"],
        "pps_torch.pipelines.html_report": ["templates/*"],
    },
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "pillow>=10.1",
        "pycocotools>=2.0.7",
        "PyYAML>=6.0",
        "tqdm>=4.60",
        "zlib-ng>=1.0",  # without it PNGs and TIFFs are read just so, but slower
    ],
    extras_require={
        "test": [
            *("pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100"),
            *("pypng>=0.20220715", "tifffile>=2024.8", "imagecodecs>=2024.6"),
            *REPORT,
            *TORCHVISION,
        ],
        "report": REPORT,
        "detectron2": DETECTRON2,
        "huggingface": HUGGINGFACE,
        "torchvision": TORCHVISION,
        "torchmetrics": TORCHMETRICS,
        "export": EXPORT,
        "all": sorted({*REPORT, *HUGGINGFACE, *TORCHMETRICS, *EXPORT, *DETECTRON2}),
    },
    entry_points={"console_scripts": ["pps-torch=pps_torch.cli.main:main"]},
)
