"""A plugin of pytest that skips test files whose optional library is not installed."""

from __future__ import annotations

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """Turns the error of a missing module into a skip, which says what is missing."""
    report = yield
    last_line = str(report.longrepr).rstrip().splitlines()[-1] if report.failed else ""
    error, _, reason = last_line.partition("ModuleNotFoundError: ")
    if error == "E   " and "'pps_torch" not in reason:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {reason}")
    return report
