"""Known values, and torch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, LambdaLR, LinearLR

from geobind.bind.learn.schedules import lr_factor
from geobind.config import Optim


def rates(scheduler, steps):
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def sgd(lr=0.5):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


@given(st.integers(1, 3000), st.floats(0, 0.99))
def test_the_default_is_warm_up_and_half_a_cosine_to_the_bit(total, warmup):
    factor, rising = lr_factor(Optim(warmup=warmup), total), int(warmup * total)
    for step in {0, 1, rising - 1, rising, rising + 1, total // 2, total - 1, total} - {-1}:
        if step < rising:
            expected = (step + 1) / rising
        else:
            expected = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total - rising))))
        assert factor(step) == expected


@pytest.mark.parametrize("final_lr", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({"schedule": "cosine"}, lambda o, final: CosineAnnealingLR(o, 50, eta_min=0.5 * final)),
        (
            {"schedule": "cosine_restarts", "period": 20},
            lambda o, final: CosineAnnealingWarmRestarts(o, 20, eta_min=0.5 * final),
        ),
        (
            {"schedule": "linear"},
            lambda o, final: LinearLR(o, start_factor=1.0, end_factor=final, total_iters=50),
        ),
    ],
)
def test_without_warm_up_it_is_torchs(options, theirs, final_lr):
    optim = Optim(warmup=0, final_lr=final_lr, **options)
    ours = rates(LambdaLR(sgd(), lr_factor(optim, 50)), 50)
    assert ours == pytest.approx(rates(theirs(sgd(), final_lr), 50), abs=1e-9)


def test_constant_stays():
    factor = lr_factor(Optim(warmup=0.2, schedule="constant", final_lr=0.5), 10)
    assert [factor(step) for step in range(11)] == [0.5] + [1.0] * 10


def test_restarts_begin_at_the_peak_after_the_warm_up():
    factor = lr_factor(Optim(warmup=0.1, schedule="cosine_restarts", period=30), 100)
    assert factor(9) == factor(10) == factor(40) == factor(70) == 1.0
    assert factor(25) == factor(55) == pytest.approx(0.5)
    assert factor(39) < 0.01


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_end_is_the_final_share(schedule):
    factor = lr_factor(Optim(warmup=0.1, schedule=schedule, final_lr=0.25), 100)
    assert factor(100) == factor(200) == 0.25
    values = [factor(step) for step in range(10, 101)]
    assert values == sorted(values, reverse=True)


def test_one_step_learns():
    assert lr_factor(Optim(), 1)(0) == 1.0
