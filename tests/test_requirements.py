"""The pinned sets: complete, hashed, within the ranges of setup.py, and fitting together."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pps_torch.integrations.libraries import COMPARED_WITH
from tests import ROOT
from tests.packaged import setup_arguments

needs_sources = pytest.mark.skipif(
    not (ROOT / "pps_torch").is_dir(), reason="needs the sources of the package"
)


def requirements(path: Path) -> list[tuple[Requirement, int]]:
    """The requirements of a file, and how many hashes each has."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.M).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        words = line.split(" --hash=sha256:")
        assert all(re.fullmatch("[0-9a-f]{64} *", digest) for digest in words[1:]), words[0]
        found.append((Requirement(words[0]), len(words) - 1))
    return found


PINNED = requirements(ROOT / "requirements.txt")
ASKED = requirements(ROOT / ".ci/requirements.in")

#: What the pages are built with, in the same environment.
PINNED_FOR_DOCS = requirements(ROOT / ".ci/docs/requirements.txt")
ASKED_FOR_DOCS = requirements(ROOT / ".ci/docs/requirements.in")


def pins(name: str, pinned: list[tuple[Requirement, int]] = PINNED) -> list[str]:
    """The versions that a distribution is pinned to, one for each Python."""
    name = canonicalize_name(name)
    return [
        str(requirement.specifier).removeprefix("==")
        for requirement, _ in pinned
        if canonicalize_name(requirement.name) == name
    ]


def test_every_package_has_one_version_and_hashes():
    for requirement, num_hashes in PINNED + PINNED_FOR_DOCS:
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert num_hashes, requirement
        assert requirement.url is None


def test_the_pinned_set_is_made_of_what_is_asked_for():
    for asked, pinned in ((ASKED, PINNED), (ASKED_FOR_DOCS, PINNED_FOR_DOCS)):
        for requirement, _ in asked:
            assert requirement.url is None
            assert pins(requirement.name, pinned) == pins(requirement.name, asked)


def test_the_pages_are_built_beside_the_packages_of_the_tests():
    for requirement, _ in PINNED_FOR_DOCS:
        versions = pins(requirement.name)
        assert versions in ([], pins(requirement.name, PINNED_FOR_DOCS)), requirement


@needs_sources
def test_the_pinned_set_is_within_the_ranges_of_setup():
    arguments = setup_arguments()
    ranges = arguments["install_requires"] + arguments["extras_require"]["test"]
    for requirement in map(Requirement, ranges):
        assert pins(requirement.name), requirement
        assert all(requirement.specifier.contains(pin) for pin in pins(requirement.name))


@needs_sources
def test_the_oldest_versions_are_the_lower_bounds_of_setup():
    oldest = {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement, _ in requirements(ROOT / ".ci/oldest.txt")
    }
    extras = setup_arguments()["extras_require"]
    integrations = (extras[name] for name in ("torchvision", "huggingface", "torchmetrics"))
    asked = [*setup_arguments()["install_requires"], *chain.from_iterable(integrations)]
    for requirement in map(Requirement, asked):
        if requirement.specifier:
            lower_bound = str(requirement.specifier).removeprefix(">=")
            assert oldest[canonicalize_name(requirement.name)].startswith(lower_bound), requirement


def test_the_page_has_the_versions_of_the_libraries():
    page = (ROOT / "docs/equivalents.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\d.]+),? .*\| ([\d.]+)[, ].*\|", page, flags=re.M)
    found = {name: (oldest, newest) for name, oldest, newest in rows}
    oldest = {r.name: str(r.specifier)[2:] for r, _ in requirements(ROOT / ".ci/oldest.txt")}
    for name in ("torchmetrics", "torchvision", "transformers"):
        assert found[name] == (oldest[name], COMPARED_WITH[name])


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_each_python_gets_one_version_of_each_package(python):
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
    }
    names = [
        canonicalize_name(requirement.name)
        for requirement, _ in PINNED
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]
    assert len(names) == len(set(names))
    assert {"torch", "numpy", "pytest"} <= set(names)


def test_torchvision_runs_its_compiled_operations():
    torchvision = pytest.importorskip("torchvision")
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [4, 4, 6, 6]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.6, 0.7]), 0.5)
    assert kept.tolist() == [2, 1]
