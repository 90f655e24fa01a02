"""The gradient is that of the whole batch: in micro-batches, and over two processes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

HERE = Path(__file__).parent


def load_case():
    """The case file beside this one: tests cannot import each other."""
    if "gradient_case" not in sys.modules:
        spec = importlib.util.spec_from_file_location("gradient_case", HERE / "gradient_case.py")
        sys.modules["gradient_case"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["gradient_case"]


case = load_case()


def assert_same(found, wanted, rtol=1e-9):
    assert found[0] == pytest.approx(wanted[0], rel=rtol)
    assert found[1].keys() == wanted[1].keys()
    for name, gradient in wanted[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=rtol, atol=1e-12, msg=name)


@pytest.mark.parametrize("loss", case.LOSSES)
@pytest.mark.parametrize("frozen_anchor", [False, True])
@pytest.mark.parametrize("chunks", [2, 5, 23])
def test_two_passes_give_the_plain_gradient(loss, frozen_anchor, chunks):
    plain = case.gradients(loss, frozen_anchor=frozen_anchor)
    assert any(name.startswith("anchor") for name in plain[1]) != frozen_anchor
    assert all(gradient.abs().max() > 1e-4 for gradient in plain[1].values())
    assert_same(case.gradients(loss, frozen_anchor=frozen_anchor, chunks=chunks), plain)


def test_both_passes_draw_the_same_dropout():
    """With dropout the micro-batches' own masks are part of the function: its numerical derivative is the gradient."""
    _, gradients = case.gradients("infonce", chunks=3, dropout=0.3, steps=1)
    again, _ = case.gradients("infonce", chunks=3, dropout=0.3, steps=1)
    name, step = "modality.0.weight", 1e-6
    values = []
    for sign in (1, -1):
        real = case.tower

        def shifted(seed, sign=sign, real=real, **options):
            made = real(seed, **options)
            if seed == 2:
                with torch.no_grad():
                    made[0].weight[1, 2] += sign * step
            return made

        case.tower = shifted
        try:
            values.append(case.gradients("infonce", chunks=3, dropout=0.3, steps=1)[0])
        finally:
            case.tower = real
    assert again == pytest.approx(sum(values) / 2, rel=1e-6)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(gradients[name][1, 2].item(), rel=1e-4)


def test_the_first_of_two_passes_moves_no_statistics(monkeypatch):
    norms = {}

    def with_norm(seed, **options):
        made = nn.Sequential(nn.Linear(6, case.DIM), nn.BatchNorm1d(case.DIM)).double()
        norms[seed] = made[1]
        return made

    monkeypatch.setattr(case, "tower", with_norm)
    case.gradients("infonce", steps=1, chunks=4)
    assert int(norms[1].num_batches_tracked) == int(norms[2].num_batches_tracked) == 4  # once per micro-batch


def test_two_processes_give_the_gradient_of_one(in_two_processes):
    """For every loss, with the anchor frozen and not, in micro-batches, and with shares of unequal size, even none."""
    cases = [
        (loss, {"frozen_anchor": frozen, **options})
        for loss in case.LOSSES
        for frozen in (False, True)
        for options in ({}, {"chunks": 3}, {"shares": [20, 3]}, {"shares": [23, 0]})
    ]
    ranks = in_two_processes(HERE / "gradient_case.py", cases)
    for (loss, options), *found in zip(cases, *ranks, strict=True):
        wanted = case.gradients(loss, frozen_anchor=options["frozen_anchor"])
        for one in found:
            assert_same(one, wanted)
