"""Every code block of the README and of docs/ runs.

The Python blocks of a page run one after the other, with the names of `given.py`; the shell
blocks in a folder that holds what `pps-torch demo` writes. What does not run says why.
"""

from __future__ import annotations

import ast
import doctest
import importlib.util
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import benchmark
import pytest
import torch
import verify_gpu

from pps_torch.cli.main import main
from pps_torch.pipelines import demonstration
from tests import ROOT
from tests.docs.elsewhere import RUN_ELSEWHERE
from tests.docs.given import given
from tests.docs.pages import PAGES, Block, blocks, name_of, run_python_block
from tests.processes import run_python

#: Programs that are not run here -> why.
NOT_RUN = {
    "python3": "an installation; .ci/run begins with that of the tests",
    "pip": "an installation",
    "git": "a clone of another project",
    "export": "a setting for what follows",
    "pytest": "the tests themselves",
    "ruff": "a check of the sources, which .ci/run makes",
    "mypy": "a check of the sources, which .ci/run makes",
}

#: The libraries behind our integrations.
NEEDED_BY = {
    "pps_torch.integrations.huggingface": "transformers",
    "pps_torch.integrations.torchvision": "torchvision",
    "pps_torch.integrations.mmdetection": "mmdet",
    "pps_torch.integrations.torchmetrics": "torchmetrics",
    "pps_torch.integrations.detectron2": "detectron2",
}

#: Pages of what only some versions of torch can do -> the first that can; the pages say so.
NEEDED_TORCH = {"docs/deployment.md": "2.11"}

#: What `pps-torch demo` writes.
DEMO = "pps_torch_demo"

#: Pages whose Python uses the demo's files, by names of `given.py`.
GIVEN_DEMO = {"docs/integrations/detectron2_projects.md"}

#: Pages whose blocks take seconds, beside those that use the demo's files.
SLOW = {
    "python": {
        "README.md",
        "docs/api/merging.md",
        "docs/deployment.md",
        "docs/integrations/huggingface.md",
        "docs/integrations/torchmetrics.md",
        "docs/integrations/torchvision.md",
    },
    "shell": {"docs/deployment.md"},
}


def uses_demo(page: Path, language: str) -> bool:
    is_given = language == "python" and name_of(page) in GIVEN_DEMO
    return is_given or any(DEMO in block.text for block in blocks(page, language))


def pages_with(language: str):
    found = []
    for page in filter(lambda page: blocks(page, language), PAGES):
        is_slow = name_of(page) in SLOW[language] or uses_demo(page, language)
        found.append(pytest.param(page, marks=[pytest.mark.slow] if is_slow else []))
    return pytest.mark.parametrize("page", found, ids=lambda page: name_of(page))


@pytest.fixture(scope="module", autouse=True)
def small_streets():
    """The demo's streets, smaller than it draws them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demonstration, "SIZE", (128, 256))
        yield


@pytest.fixture(scope="module")
def demo_folder(small_streets, tmp_path_factory) -> Path:
    """What `pps-torch demo` writes."""
    folder = tmp_path_factory.mktemp("demo") / DEMO
    assert main(["demo", "--output_dir", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def reader(tmp_path, monkeypatch, request) -> Callable[[Path, str], None]:
    """Makes the folder that of a page's reader, who has run the demo if the page uses it."""
    monkeypatch.chdir(tmp_path)

    def begin(page: Path, language: str) -> None:
        needed = NEEDED_TORCH.get(name_of(page), "0")
        if torch.__version__ < needed:
            pytest.skip(f"needs torch {needed}, found {torch.__version__}")
        if uses_demo(page, language):
            shutil.copytree(request.getfixturevalue("demo_folder"), tmp_path / DEMO)

    return begin


@pages_with("python")
def test_python_blocks(page, reader):
    reader(page, "python")
    page_blocks = blocks(page, "python")
    for library in sorted(set().union(*map(libraries, page_blocks))):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"needs {library}")
    names = given(name_of(page))
    for block in page_blocks:
        run_python_block(page, block, names)


@pages_with("shell")
def test_shell_blocks(page, reader):
    reader(page, "shell")
    words = [words for block in blocks(page, "shell") for words in commands(block)]
    reasons = [run_command(*each) for each in words]
    if all(reasons):
        pytest.skip("; ".join(dict.fromkeys(reasons)))


def test_json_is_json():
    for page in PAGES:
        for block in blocks(page, "json"):
            json.loads(block.text)


def test_all_blocks_have_a_language_that_is_run():
    assert {block.language for page in PAGES for block in blocks(page)} <= {
        "python",
        "shell",
        "json",
    }


def test_a_wrong_output_fails():
    block = Block("python", 1, ">>> 1 + 1\n3\n")
    with pytest.raises(AssertionError, match="Expected"):
        run_python_block(PAGES[0], block, {})


def test_a_wrong_argument_fails():
    with pytest.raises(SystemExit):
        run_command("python", "tools/benchmark.py", "--no_such_option")
    with pytest.raises(KeyError):
        run_command("a_program_that_nobody_explained")


def libraries(block: Block) -> set[str]:
    """The libraries that a block imports, and those behind our integrations."""
    code = block.text
    if ">>> " in code:
        code = "".join(e.source for e in doctest.DocTestParser().get_examples(code))
    modules = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    behind = {NEEDED_BY[module] for module in modules if module in NEEDED_BY}
    return {module.split(".")[0] for module in modules} | behind


def commands(block: Block) -> list[list[str]]:
    """The commands of a shell block, one list of words each."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            found.append(words[:end])
            words = words[end + 1 :]
    return found


def run_command(program: str, *arguments: str) -> str | None:
    """Runs a command as its reader would -> None, or why it was not run."""
    program = program.removeprefix(".venv/bin/")
    if program == "pps-torch":
        assert main(list(arguments)) == 0
        return None
    if program == "torchrun":
        if "--nnodes" in arguments:
            return "needs several machines; tests/faults/test_processes.py has two agents on one"
        run_torchrun(*arguments)
        return None
    if program == "python" and arguments[0] == "-m":
        return NOT_RUN[arguments[1]]
    if program == "python":
        return run_script(*arguments)
    return NOT_RUN["export" if "=" in program else program]


def run_torchrun(*arguments: str) -> None:
    arguments = tuple(str(ROOT / a) if a.startswith("tools/") else a for a in arguments)
    run = run_python("-m", "torch.distributed.run", *arguments)
    assert run.returncode == 0, run.stderr


def run_script(path: str, *arguments: str) -> str | None:
    """A command's script; of one that takes long only the files and options are looked at."""
    script = ROOT / path
    assert script.is_file(), path
    for argument in arguments:
        if argument.startswith("configs/"):
            assert (ROOT / argument).is_file(), argument
    if script.name not in RUN_ELSEWHERE:
        assert main([script.stem, *arguments]) == 0
        return None
    assert (ROOT / RUN_ELSEWHERE[script.name]).is_file()
    if script.name == "benchmark.py":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [script.name, *arguments])
            benchmark.parse_arguments()
    if script.name == "verify_gpu.py":
        verify_gpu.parse_arguments(arguments)
    return f"takes long; {RUN_ELSEWHERE[script.name]} runs {script.name} small"
