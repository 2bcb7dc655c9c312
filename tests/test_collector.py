"""The search for cycles is paused as long as anyone wants it, and goes on after that."""

from __future__ import annotations

import gc

import pytest

from pps_torch.collector import paused_collector


def test_paused_until_the_last_one_leaves():
    """As two threads, of which the first to come is the first to go."""
    one, other = paused_collector(), paused_collector()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not gc.isenabled()
    other.__exit__(None, None, None)
    assert gc.isenabled()


def test_goes_on_after_an_error():
    with pytest.raises(KeyError), paused_collector():
        raise KeyError
    assert gc.isenabled()


def test_stays_off_where_it_was_off():
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
