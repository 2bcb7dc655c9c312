"""The nearest place to each point."""

from __future__ import annotations

import torch

from pps_torch.ops.painting.nearest_places import nearest_places


def test_by_hand(device):
    points = torch.tensor([[[0.0, 2.0, 4.0]], [[0.0, 0.0, 0.0]]], device=device)
    places = torch.tensor([[[4.0, 0.0, 4.0]], [[0.0, 0.0, 0.0]]], device=device)
    assert nearest_places(points, places).tolist() == [[1, 0, 0]]


def test_places_at_infinity_are_none(device):
    points = torch.zeros(2, 1, 2, device=device)
    places = torch.tensor([[[torch.inf, 9.0, torch.inf]]] * 2, device=device)
    assert nearest_places(points, places).tolist() == [[1, 1]]
    assert nearest_places(points, places[..., ::2]).tolist() == [[0, 0]]
