"""A plugin of pytest that watches every test, and fails those whose kernels clash."""

import os

import pytest

os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, before the conftest

from tests.races.watcher import watched  # noqa: E402

KERNELS, CLASHES = set(), set()


@pytest.fixture(autouse=True)
def _watched():
    with watched() as watch:
        yield
    KERNELS.update(watch.launches)
    CLASHES.update(f"{kernel}: {kind}" for kernel, kind, _ in watch.findings)
    assert not (found := watch.harmful()), found


def pytest_terminal_summary(terminalreporter):
    """Tells which kernels were watched, and what was found that does no harm."""
    terminalreporter.write_line(f"kernels watched: {'; '.join(sorted(KERNELS))}")
    terminalreporter.write_line(f"clashes: {'; '.join(sorted(CLASHES))}")
