"""The wheel and the sdist: what is in them, where it comes from, and that the wheel works."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pps_torch.env import COMPILED
from tests.packaged import BUILT, ROOT, SOURCES, build, setup_arguments

COMPILED_FILE = r"pps_torch/compiled/\w+\.[\w-]+\.so"

#: Every file of the wheel that is not Python -> where it comes from; all may be redistributed.
ORIGIN = {
    r"pps_torch/py\.typed": "made here, empty",
    r"pps_torch/specs/(dataset|eval)_specs/(cpp|ppp)_\w+\.yaml": (
        "class lists and ids of panoptic_parts and TAPPS (Apache-2.0), see the README's credits"
    ),
    r"pps_torch/compiled/\w+\.pyx": "made here",
    COMPILED_FILE: "compiled from these, where there is a compiler",
    r"pps_torch/pipelines/html_report/templates/\w+\.(html|css|js)": "made here",
    r"pps_torch-[\d.]+\.dist-info/.*": "made by the build, with this project's LICENSE",
}


def has_wheel_builder() -> bool:
    version = Version(importlib.metadata.version("setuptools"))
    return version >= Version("70.1") or importlib.util.find_spec("wheel") is not None


def can_compile(folder: Path) -> bool:
    """Whether the modules in Cython are built: with it, and the compiler that pip calls."""
    compiler = os.environ.get("CXX", sysconfig.get_config_var("CXX") or "c++").split()
    (folder / "try.cpp").write_text("#include <bit>\n#include <Python.h>\n")
    flags = ["-std=c++20", f"-I{sysconfig.get_paths()['include']}", "-fsyntax-only", "try.cpp"]
    try:
        done = subprocess.run([*compiler, *flags], cwd=folder, capture_output=True)
    except OSError:
        return False
    return importlib.util.find_spec("Cython") is not None and done.returncode == 0


pytestmark = pytest.mark.skipif(
    not (ROOT / "pps_torch").is_dir(), reason="needs the sources of the package"
)
needs_wheel_builder = pytest.mark.skipif(
    not has_wheel_builder(), reason="needs setuptools >= 70.1, or wheel"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


def is_file(name: str) -> bool:
    return (ROOT / name).is_file()


def sources() -> set[str]:
    """The files of the package that belong into every distribution."""
    paths = (path.relative_to(ROOT) for path in (ROOT / "pps_torch").rglob("*.*") if path.is_file())
    return {
        str(path)
        for path in paths
        if not any(path.match(pattern) for pattern in ("*.pyc", *BUILT))
        and not any(part.startswith(".") for part in path.parts)
    }


@pytest.mark.slow
@needs_wheel_builder
def test_the_wheel_holds_the_package_and_nothing_else(wheel, tmp_path):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if ".dist-info/" not in name}
    compiled = {name for name in package if name.endswith(".so")}
    assert package - compiled == sources()
    modules = {name.split("/")[-1].split(".")[0] for name in compiled}
    assert modules == ({*COMPILED} if can_compile(tmp_path) else set())


@pytest.mark.slow
@needs_wheel_builder
def test_the_origin_of_all_data_in_the_wheel_is_known(wheel, tmp_path):
    data = [name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith(".py")]
    unknown = [name for name in data if not any(re.fullmatch(known, name) for known in ORIGIN)]
    assert not unknown
    unused = [known for known in ORIGIN if not any(re.fullmatch(known, name) for name in data)]
    assert unused == ([] if can_compile(tmp_path) else [COMPILED_FILE])


@pytest.mark.slow
@needs_wheel_builder
def test_without_a_compiler_the_wheel_has_the_rest(tmp_path, monkeypatch):
    for name in ("CC", "CXX"):
        monkeypatch.setenv(name, str(tmp_path / "missing"))
    names = {
        name
        for name in zipfile.ZipFile(build("wheel", tmp_path)).namelist()
        if ".dist-info/" not in name
    }
    assert names == sources()


@pytest.mark.slow
def test_the_sdist_holds_the_sources_and_no_tests(sdist):
    with tarfile.open(sdist) as archive:
        files = [member.name.split("/", 1)[1] for member in archive if member.isfile()]
    assert sources() | set(filter(is_file, SOURCES)) | {"docs/index.md"} <= set(files)
    assert not [name for name in files if name.startswith(("tests/", "tools/"))]


@pytest.mark.slow
@needs_wheel_builder
def test_the_wheel_works_where_only_it_is(wheel, tmp_path):
    """Its specs load and its command runs, and nothing comes from the checkout."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import pps_torch; from pps_torch import EvalSpec; print(pps_torch.__file__);"
        "[EvalSpec.load(n) for n in ('cpp_default', 'cpp_grouped', 'ppp_default', 'ppp_107')];"
        "from pps_torch.cli.main import main; main(['env'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))


def test_no_tests_are_installed():
    assert all(name.split(".")[0] == "pps_torch" for name in setup_arguments()["packages"])


def test_all_is_every_extra_but_that_of_the_tests():
    extras = setup_arguments()["extras_require"]
    together = {
        word for name, words in extras.items() if name not in ("all", "test") for word in words
    }
    assert set(extras["all"]) == together
    for words in extras.values():
        assert [Requirement(word) for word in words]


def test_the_version_is_that_of_the_changelog_and_the_citation():
    version = setup_arguments()["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+)$", changelog, flags=re.M)
    assert [found for found in versions if found != "Unreleased"][0] == version
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert [author["name"] for author in citation["authors"]] == [setup_arguments()["author"]]


def test_the_listed_pythons_are_those_that_are_accepted():
    listed = {
        classifier.rpartition(" ")[2]
        for classifier in setup_arguments()["classifiers"]
        if re.search(r"Python :: 3\.\d+$", classifier)
    }
    accepted = SpecifierSet(setup_arguments()["python_requires"])
    assert {f"3.{minor}" for minor in range(15) if f"3.{minor}" in accepted} == listed
    pythons = re.findall(r"python(3\.\d+)", (ROOT / ".ci/matrix").read_text(encoding="utf-8"))
    assert set(pythons) == {min(listed, key=Version), max(listed, key=Version)}


def test_the_hosted_checks_are_those_of_ci():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    called = {
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    }
    assert called == {".ci/run", ".ci/matrix"}


def test_a_bug_report_needs_what_env_prints():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    (field,) = (item for item in form["body"] if item.get("id") == "env")
    assert "pps-torch env" in field["attributes"]["label"] and field["validations"]["required"]


def test_the_pages_name_extras_that_exist():
    extras = setup_arguments()["extras_require"].keys()
    texts = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "pps_torch").rglob("*.py"),
    ]
    named = {
        extra
        for path in texts
        for extra in re.findall(r"(?:pps_torch|\.)\[(\w+)\]\"", path.read_text(encoding="utf-8"))
    }
    assert named and named <= extras
