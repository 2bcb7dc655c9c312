"""Reading ahead gives the items themselves, errors too, and holds few."""

from __future__ import annotations

import threading

import pytest

from pps_torch.integrations.detectron2.evaluation.read_ahead import ReadAhead


class Shelf:
    """Counts which items were read, and by which threads."""

    def __init__(self, damaged: int | None = None) -> None:
        self.damaged = damaged
        self.read: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, index: int) -> str:
        self.read.append(index)
        self.threads.add(threading.current_thread().name)
        if index == self.damaged:
            raise OSError(f"item {index} is damaged")
        return f"item {index}"


@pytest.mark.parametrize(
    "asked", [range(10), range(1, 100, 7), [5, 5, 2, 90, 3], range(9, -1, -1), []]
)
def test_any_order_gives_the_items(asked):
    items = ReadAhead(Shelf(), 100)
    assert [items[index] for index in asked] == [f"item {index}" for index in asked]
    items.close()
    assert items[4] == "item 4"
    items.close()


@pytest.mark.parametrize("step", [1, 8])
def test_a_regular_walk_reads_each_item_once_and_ahead(step):
    shelf = Shelf()
    items = ReadAhead(shelf, 10)
    asked = list(range(0, 10, step))
    for index in asked:
        assert items[index] == f"item {index}"
    items.close()
    assert all(name.startswith("pps_torch") for name in shelf.threads)
    if step == 1:
        assert sorted(shelf.read) == asked

    shelf = Shelf()
    items = ReadAhead(shelf, 1000)
    for index in range(0, 400, step):
        items[index]
        assert len(items._reading) <= items._workers + 2
    items.close()
    wasted = len(shelf.read) - len(range(0, 400, step))
    assert wasted <= 2 * (items._workers + 2)
    assert max(shelf.read) > 400 - step, "read ahead"


def test_an_error_comes_up_where_its_item_is_asked_for():
    items = ReadAhead(Shelf(damaged=13), 20)
    assert items[12] == "item 12"
    with pytest.raises(OSError, match="item 13 is damaged"):
        items[13]
    assert items[14] == "item 14"
    items.close()
