"""Precision is measured on the work at hand; the measuring leaves no trace in the towers."""

from __future__ import annotations

import pytest
import torch

from geobind.bind import precision
from geobind.bind.binder import bind
from geobind.bind.precision import Precision, choose_precision
from geobind.plan import load_plan
from geobind.plugins import get_plugins


def test_the_recipe_has_the_last_word():
    def never():
        raise AssertionError("must not be measured")

    for name in ("fp32", "bf16"):
        chosen = choose_precision(name, "cpu", never)
        assert (chosen.name, chosen.reason) == (name, "as the recipe says")


@pytest.mark.parametrize(("bf16_takes", "expected"), [(0.2, "bf16"), (0.9, "fp32"), (6.0, "fp32")])
def test_bf16_is_taken_only_when_clearly_faster(monkeypatch, bf16_takes, expected):
    monkeypatch.setattr(precision, "_seconds", lambda p, device, work: {"fp32": 1.0, "bf16": bf16_takes}[p.name])
    chosen = choose_precision("auto", "cpu", lambda: torch.zeros(()))
    assert chosen.name == expected and f"{bf16_takes:.2f} times as long" in chosen.reason


def test_measuring_changes_nothing(toy_recipe, write_recipe, tmp_path, monkeypatch):
    """auto that ends in fp32 gives the same bytes as fp32 by the recipe."""
    monkeypatch.setattr(precision, "CLEARLY_FASTER", 0.0)
    towers = []
    for wanted in ("fp32", "auto"):
        plan = load_plan(str(write_recipe(toy_recipe)), get_plugins(), [f"defaults.optim.precision={wanted}"])
        bind(plan, plan.stages, space=tmp_path / wanted, runs=tmp_path / "runs")
        towers.append(sorted(file.name for file in (tmp_path / wanted / "towers").iterdir()))
    assert towers[0] == towers[1]


def test_products_are_fast_inside_bf16_alone_and_close_to_exact():
    before = torch.get_float32_matmul_precision()
    a, b = torch.randn(64, 32), torch.randn(48, 32)
    for name, inside in (("fp32", before), ("bf16", "medium")):
        with Precision(name, "").products():
            assert torch.get_float32_matmul_precision() == inside
            torch.testing.assert_close(a @ b.T, (a.double() @ b.double().T).float(), atol=0.1, rtol=0.02)
        assert torch.get_float32_matmul_precision() == before
