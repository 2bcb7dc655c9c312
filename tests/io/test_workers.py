"""Images through workers."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from pps_torch.io.terminal import Messages
from pps_torch.io.workers import available_cores, default_workers, map_images


@pytest.fixture(params=[1, 3])
def workers(request):
    return request.param


def run(function, items, workers=3):
    return map_images(function, items, workers=workers, description="testing", quiet=True)


def test_results_are_in_order(workers):
    def slow_for_small(item):
        time.sleep(0.002 * (10 - item))
        return item * item

    assert list(run(slow_for_small, range(10), workers)) == [item * item for item in range(10)]


def test_one_worker_is_the_calling_thread():
    """It works on an item when it is asked for."""
    begun = []
    results = run(lambda item: begun.append(item) or threading.get_ident(), range(5), workers=1)
    assert begun == [] and next(results) == threading.get_ident() and begun == [0]


def test_few_are_in_flight():
    begun, most_ahead = [], 0
    lock = threading.Lock()

    def begin(item):
        with lock:
            begun.append(item)
        return item

    for taken, _ in enumerate(run(begin, range(100))):
        time.sleep(0.0005)
        most_ahead = max(most_ahead, len(begun) - taken)
    assert most_ahead <= 3 + 2 + 1


def test_an_error_stops_the_rest(workers):
    begun = []

    def fail_at_five(item):
        begun.append(item)
        if item == 5:
            raise ValueError("five")
        return item

    results = run(fail_at_five, range(1000), workers)
    with pytest.raises(ValueError, match="five"):
        for _ in results:
            pass
    assert len(begun) < 20


def test_a_consumer_that_stops_ends_the_workers():
    results = run(lambda item: item, range(1000))
    next(results)
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("pps_torch")]


def test_torch_threads_share_the_cores():
    before = torch.get_num_threads()
    seen = set(run(lambda _: torch.get_num_threads(), range(8), workers=available_cores()))
    assert seen == {1}
    assert torch.get_num_threads() == before


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(Messages, "isatty", lambda _: True)
    list(map_images(str, range(3), workers=2, description="testing"))
    shown = capsys.readouterr().err
    assert "\rtesting:   0%|" in shown and "testing: 100%|" in shown


@pytest.mark.parametrize("total, lines", [(0, 0), (3, 3), (10, 10), (1234, 10)])
def test_progress_is_a_line_each_tenth_in_a_log(capsys, total, lines):
    list(map_images(str, range(total), workers=2, description="testing"))
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == lines and not any("\r" in line for line in shown)
    if lines == 10:
        assert [line.split("%")[0] for line in shown[:2]] == ["testing:  10", "testing:  20"]
        assert f" {total}/{total} [" in shown[-1] and shown[-1].endswith("image/s]")


def test_default_workers():
    assert 1 <= default_workers() <= 8
