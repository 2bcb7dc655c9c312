"""An exported program serves any number of images, instances and queries, of any size."""

from __future__ import annotations

import pytest
import torch

import pps_torch
from tests.graph.cases import assert_same
from tests.graph.programs import MERGES, SPEC, OfPhoto, Sizes, export, export_merge, num_nodes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.__version__ < "2.11", reason="torch before 2.11: a graph a number"),
]

#: Other batches, numbers of instances (none and one among them), heights and widths; in the last,
#: boxes reach several of the windows in which they are pasted.
OTHERS = [
    (1, 7, 33, 18),
    (3, 1, 16, 16),
    (1, 0, 16, 21),
    (1, 1, 15, 21),
    (2, 40, 64, 70),
    (2, 9, 300, 700),
]


@pytest.mark.parametrize("name", MERGES)
def test_one_program_for_all_sizes(name):
    torch.manual_seed(0)
    few, module = export_merge(name, Sizes(2, 5, 20, 30))
    many, _ = export_merge(name, Sizes(2, 200, 20, 30))
    assert num_nodes(few) == num_nodes(many) < 700
    run, draw = few.module(), MERGES[name][1]
    for sizes in OTHERS:
        inputs = draw(Sizes(*sizes))
        assert_same(run(*inputs), module(*inputs))


@pytest.mark.parametrize("name", MERGES)
def test_no_round_of_a_loop_writes_a_map_of_bools(name):
    """Compiled by AOTInductor, that takes many times longer than to write numbers."""
    program, _ = export_merge(name)
    loops = [
        node
        for part in program.graph_module.modules()
        if isinstance(part, torch.fx.GraphModule)
        for node in part.graph.find_nodes(
            op="call_function", target=torch.ops.higher_order.while_loop
        )
    ]
    states = [value.meta["val"] for node in loops for value in node.args[2]]
    assert states or name == "pps"
    assert not [state.shape for state in states if state.dtype == torch.bool and state.ndim > 2]


def test_channels_do_not_lengthen_the_program():
    """Several channels may mean one class."""
    torch.manual_seed(0)
    found = []
    for repeated in (1, 10):
        semantic_ids = list(SPEC.eval_sids) * repeated
        module = OfPhoto(pps_torch.PPSPostProcessor(SPEC, semantic_ids=semantic_ids))
        photo, _, *rest = MERGES["post_processor"][1](Sizes(1, 3, 20, 30))
        inputs = photo, Sizes(1, 3, 20, 30).heads(len(semantic_ids)), *rest
        program = export(module, inputs)
        assert_same(program.module()(*inputs), module(*inputs))
        found.append(num_nodes(program))
    assert found[0] == found[1]
