"""How the learning rate goes over a stage: a linear rise, then one of four ways down."""

from __future__ import annotations

import math
from collections.abc import Callable

from geobind.config import Optim


def lr_factor(optim: Optim, total_steps: int) -> Callable[[int], float]:
    """The share of the peak learning rate at a step, for :class:`torch.optim.lr_scheduler.LambdaLR`.

    It rises linearly over ``int(warmup · total_steps)`` steps. Of what is left, let t be the share that is done:
    ``cosine`` is final_lr + (1 - final_lr) · (1 + cos πt) / 2 (SGDR, arXiv 1608.03983, eq. 5), ``cosine_restarts``
    the same with t beginning anew every ``period`` steps, ``linear`` is final_lr + (1 - final_lr) · (1 - t), and
    ``constant`` stays at 1 whatever ``final_lr`` says.
    """
    warmup = int(optim.warmup * total_steps)
    falling = max(1, total_steps - warmup)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / falling)
        if optim.schedule == "constant":
            return 1.0
        if optim.schedule == "linear":
            left = 1 - done
        else:
            if optim.period is not None:
                done = (step - warmup) % optim.period / optim.period
            left = 0.5 * (1 + math.cos(math.pi * done))
        return optim.final_lr + (1 - optim.final_lr) * left

    return factor
