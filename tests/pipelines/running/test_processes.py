"""Who has which images; and how the end of one process reaches the others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from pps_torch.io.errors import InputError
from pps_torch.pipelines.running import watch
from pps_torch.pipelines.running.processes import Processes, processes_of_environment
from pps_torch.pipelines.running.unknown_ids import UnknownIds
from tests import ROOT


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 16])
def test_each_item_is_in_one_share(world_size, count):
    shares = [Processes(rank, world_size).share(range(count)) for rank in range(world_size)]
    assert sorted(item for share in shares for item in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("count", [0, 1, 7, 16])
def test_results_are_collected_in_order(monkeypatch, count):
    shares = [[item * 10 for item in Processes(rank, 3).share(range(count))] for rank in range(3)]
    monkeypatch.setattr(Processes, "gather", lambda self, _: shares)
    assert Processes(0, 3).collect(shares[0]) == [item * 10 for item in range(count)]


def test_a_process_alone_talks_to_nobody():
    alone = Processes()
    assert alone.is_first and alone.gather(5) == [5] and alone.collect([1, 2]) == [1, 2]
    alone.wait_for_all()


def test_environment_of_torchrun():
    assert processes_of_environment({}) == Processes()
    found = processes_of_environment(
        {
            "WORLD_SIZE": "8",
            "RANK": "5",
            "LOCAL_RANK": "1",
            "LOCAL_WORLD_SIZE": "4",
            "MASTER_ADDR": "a",
            "MASTER_PORT": "1",
        }
    )
    assert found == Processes(5, 8, 1, 4) and not found.is_first
    assert processes_of_environment({"RANK": "3"}) == Processes()
    assert processes_of_environment({"WORLD_SIZE": "1", "RANK": "0"}) == Processes()
    assert processes_of_environment({**FOUR, "RANK": "3", "LOCAL_WORLD_SIZE": "2"}).local_rank == 1


FOUR = {"WORLD_SIZE": "4", "RANK": "3", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE is 2: .* found no MASTER_ADDR"),
        ({"WORLD_SIZE": "two"}, "^WORLD_SIZE: expected an integer from 1, found 'two'"),
        ({"WORLD_SIZE": ""}, "^WORLD_SIZE: expected an integer from 1, found ''"),
        ({"WORLD_SIZE": "0"}, "^WORLD_SIZE: expected an integer from 1, found '0'"),
        ({"WORLD_SIZE": "-2"}, "^WORLD_SIZE: expected an integer from 1, found '-2'"),
        ({"WORLD_SIZE": "1", "RANK": "1"}, "^RANK: expected an integer from 0 to 0, found '1'"),
        ({**FOUR, "RANK": "4"}, "^RANK: expected an integer from 0 to 3, found '4'"),
        ({**FOUR, "RANK": "-1"}, "^RANK: expected an integer from 0 to 3, found '-1'"),
        ({**FOUR, "RANK": "1.0"}, "^RANK: expected an integer from 0 to 3, found '1.0'"),
        ({**FOUR, "LOCAL_RANK": "4"}, "^LOCAL_RANK: .* from 0 to 3, found '4'"),
        (
            {**FOUR, "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"},
            "^LOCAL_RANK: .* from 0 to 1, found '2'",
        ),
        ({**FOUR, "LOCAL_WORLD_SIZE": "5"}, "^LOCAL_WORLD_SIZE: .* from 1 to 4, found '5'"),
        ({**FOUR, "LOCAL_WORLD_SIZE": "0"}, "^LOCAL_WORLD_SIZE: .* from 1 to 4, found '0'"),
        ({**FOUR, "MASTER_PORT": "http"}, "^MASTER_PORT: .* from 0 to 65535, found 'http'"),
        ({**FOUR, "MASTER_PORT": "65536"}, "^MASTER_PORT: .* from 0 to 65535, found '65536'"),
    ],
)
def test_a_wrong_variable_is_named(variables, message):
    with pytest.raises(InputError, match=message):
        processes_of_environment(variables)


def test_unknown_ids_are_listed_in_the_same_order_however_they_were_counted():
    warnings = []
    for order in ([7, 5, 9], [9, 7, 5]):
        unknown = UnknownIds("the maps", {0}, "are void", "spec")
        for value in order:
            unknown.add({"unknown": [(value, 3)], "num_pixels": 9})
        unknown.collect(Processes())
        warnings.append(unknown.warning())
    assert warnings[0] == warnings[1] and "5 (3 pixels), 7 (3 pixels), 9" in warnings[0]


def run(program: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_a_stranger_who_connects_is_not_heard(monkeypatch):
    """A port scanner, or a process of another job, takes no part."""
    monkeypatch.setattr(watch, "_HELLO_SECONDS", 0.2)
    published = []
    joined = []
    waiting = threading.Thread(
        target=lambda: joined.append(watch.accept_others(2, published.append, 30)), daemon=True
    )
    waiting.start()
    while not published:
        time.sleep(0.01)
    address = json.loads(published[0])
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b'{"password": "?", "rank": 1}\n', b"[1]\n"):
        with socket.create_connection(("127.0.0.1", address["port"])) as stranger:
            stranger.sendall(words)
            time.sleep(0.05)
    assert not joined
    place = watch.Address("127.0.0.1", **address)
    other = watch.OtherProcess(1, "rank 1", place, "rank 0", prints=False)
    waiting.join(10)
    leaving = threading.Thread(target=joined[0].leave, daemon=True)
    leaving.start()
    other.leave()
    leaving.join(10)
    assert not leaving.is_alive()


def test_nobody_leaves_before_all_are_done():
    published, joined = [], []
    waiting = threading.Thread(
        target=lambda: joined.append(watch.accept_others(3, published.append, 30)), daemon=True
    )
    waiting.start()
    while not published:
        time.sleep(0.01)
    place = watch.Address("127.0.0.1", **json.loads(published[0]))
    others = [watch.OtherProcess(r, f"rank {r}", place, "rank 0", False) for r in (1, 2)]
    waiting.join(10)
    leaving = [threading.Thread(target=each.leave, daemon=True) for each in (joined[0], others[0])]
    for thread in leaving:
        thread.start()
    time.sleep(0.2)
    assert all(thread.is_alive() for thread in leaving)
    others[1].leave()
    for thread in leaving:
        thread.join(10)
    assert not any(thread.is_alive() for thread in leaving)


@pytest.mark.slow
def test_the_first_failure_is_the_one_that_is_told():
    program = """
import json, threading, time
from pps_torch.pipelines.running import watch
published = []
def others():
    while not published:
        time.sleep(0.01)
    place = watch.Address("127.0.0.1", **json.loads(published[0]))
    two = [watch.OtherProcess(r, f"rank {r}", place, "rank 0", False) for r in (1, 2)]
    for each in two:
        each._connection.send(error="rank x: broken\\nline", code=2)
threading.Thread(target=others, daemon=True).start()
watch.accept_others(3, published.append, 30).leave()
"""
    ended = run(program)
    assert ended.returncode == 2
    assert ended.stderr == "error: rank x: broken\\nline\n"
