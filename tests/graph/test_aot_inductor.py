"""Programs compiled ahead of time give the eager result at other sizes, in Python and in C++."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from pps_torch.pipelines.aot_inductor import compile_package
from tests.graph.cases import assert_same, tensors
from tests.graph.programs import MERGES, Sizes, export_merge

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.__version__ < "2.11", reason="loops are exported from torch 2.11 on"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs the compiler g++"),
]

MAIN = """
#include <fstream>
#include <iostream>
#include <iterator>
#include <torch/torch.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

std::vector<at::Tensor> read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<at::Tensor> tensors;
  auto list = torch::pickle_load(bytes);
  for (const auto& value : list.toListRef()) tensors.push_back(value.toTensor());
  return tensors;
}

int main(int, char** argv) {
  torch::inductor::AOTIModelPackageLoader merge(argv[1]);
  auto expected = read(argv[3]);
  auto found = merge.run(read(argv[2]));
  for (size_t i = 0; i < found.size(); ++i)
    if (!torch::equal(found.at(i), expected.at(i))) return 1;
  std::cout << found.size() << " tensors are equal\\n";
}
"""


@pytest.fixture(autouse=True)
def continuous_integration(monkeypatch):
    """Inductor refuses more where this variable is set."""
    monkeypatch.setenv("CI", "true")


def package(name, folder):
    torch.manual_seed(0)
    program, module = export_merge(name)
    path = str(folder / "merge.pt2")
    compile_package(program, path)
    return path, module


@pytest.mark.parametrize("name", [name for name in MERGES if name != "pps"])
def test_packages_give_the_eager_result(name, tmp_path):
    path, module = package(name, tmp_path)
    run = torch._inductor.aoti_load_package(path)
    for sizes in ((1, 7, 33, 18), (3, 1, 16, 16), (1, 0, 16, 21), (2, 40, 64, 70)):
        inputs = MERGES[name][1](Sizes(*sizes))
        assert_same(run(*inputs), module(*inputs))


def test_a_package_runs_in_cpp(tmp_path):
    path, module = package("pps", tmp_path)
    inputs = MERGES["pps"][1](Sizes(1, 3, 24, 40))
    for name, values in (("inputs", inputs), ("expected", module(*inputs))):
        torch.save(tensors(values), tmp_path / name)
    (tmp_path / "main.cpp").write_text(MAIN)
    torch_folder = Path(torch.__file__).parent
    includes = [f"-I{torch_folder}/include{end}" for end in ("", "/torch/csrc/api/include")]
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    libraries = [f"-L{torch_folder}/lib", "-ltorch", "-ltorch_cpu", "-lc10"]
    found_at_run_time = f"-Wl,-rpath,{torch_folder}/lib"
    command = ["g++", "-std=c++20", "-O0", abi, *includes, str(tmp_path / "main.cpp")]
    command += ["-o", str(tmp_path / "main"), *libraries, found_at_run_time]
    subprocess.run(command, check=True)
    files = [path, str(tmp_path / "inputs"), str(tmp_path / "expected")]
    done = subprocess.run([str(tmp_path / "main"), *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 tensors are equal\n"
