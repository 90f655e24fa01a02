"""A moving average of what learns (Polyak & Juditsky 1992), which is often better than its last value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from geobind.bind.parallel.sharding import laid_out


class Ema:
    """average ← decay · average + (1 - decay) · value, after every step; the first one copies.

    It goes over the parameters that learn and over the running statistics of batch norms, which would otherwise be
    those of other weights. All else is the same for both.

    Args:
        parts: The modules that learn, on the device where they stay.
        decay: Between 0 and 1.
    """

    def __init__(self, parts: Mapping[str, nn.Module], decay: float) -> None:
        self._sharded = [m for part in parts.values() for m in part.modules() if isinstance(m, FSDPModule)]
        self.live = [tensor for part in parts.values() for tensor in _moving(part)]
        self.average = [tensor.detach().clone() for tensor in self.live]
        self.updates = 0
        self._mix = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the values after a step."""
        pairs = list(zip(self.average, self.live, strict=True))
        if self.updates == 0:
            for average, value in pairs:
                average.copy_(value)
        else:
            for kind in {type(average) for average in self.average}:  # torch mixes no sharded tensors with whole ones
                averages, values = zip(*(pair for pair in pairs if type(pair[0]) is kind), strict=True)
                self._mix(averages, values, self.updates)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the averages in the modules for a while; the values come back to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def apply(self) -> None:
        """Leave the averages in the modules, for good."""
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for module in self._sharded:
            module.reshard()  # or a forward pass would go on with the whole weights of the last one
        for live, average in zip(self.live, self.average, strict=True):
            value = live.clone()
            live.copy_(average)
            average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many steps they have seen, loadable with ``weights_only=True``."""
        return {"updates": self.updates, "average": self.average}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict` with whole tensors."""
        self.updates = state["updates"]
        for average, value in zip(self.average, state["average"], strict=True):
            average.copy_(laid_out(value, average))


def _moving(part: nn.Module) -> Iterator[Tensor]:
    """What of a module changes while it learns."""
    yield from (parameter for parameter in part.parameters() if parameter.requires_grad)
    for module in part.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None:
            yield from (module.running_mean, module.running_var)
