"""FSDP2 behind one method: :func:`shard`, and states that look the same however weights are laid out.

A checkpoint written by two processes with sharded weights is read by one with whole ones, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from geobind.encoder import Encoder


def shard(encoder: Encoder) -> None:
    """Lay an encoder's weights out over all processes (FSDP2), block by block: each holds its share of every block.

    Gradients are summed over the processes, as :mod:`geobind.bind.parallel.distributed` wants them.
    """
    for module in (*encoder.blocks(), encoder):
        fully_shard(module)
        assert isinstance(module, FSDPModule)  # noqa: S101  (what fully_shard makes of it)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no other way to sum


def is_sharded(module: nn.Module) -> bool:
    """Whether some weights of a module lie with several processes."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def reshard(module: nn.Module) -> None:
    """Take apart again what a forward pass has put together, so that parameters are those that are trained."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def weights(module: nn.Module) -> dict[str, Any]:
    """A module's state with whole tensors; every process must call it."""
    reshard(module)
    state: dict[str, Any] = full_state(module.state_dict())
    return state


def full_state(state: Any) -> Any:
    """A state with whole tensors in place of sharded ones; every process must call it."""
    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, Mapping):
        return {key: full_state(value) for key, value in state.items()}
    if isinstance(state, list):
        return [full_state(value) for value in state]
    return state


def load_parts(parts: Mapping[str, nn.Module], states: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill modules from their full states."""
    for name, module in parts.items():
        reshard(module)
        own = module.state_dict()
        module.load_state_dict({key: laid_out(value, own.get(key)) for key, value in states[name].items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Fill an optimiser from its full state."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments = {
        number: {key: laid_out(value, parameters[number]) for key, value in entry.items()}
        for number, entry in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def laid_out(value: Any, like: Any) -> Any:
    """A full tensor laid out like another one of its shape; whatever else as it is."""
    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float | None) -> Tensor:
    """Scale all gradients down to a norm of ``limit`` (null for no limit); returns the norm they had."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    sharded: list[Tensor] = [g for g in gradients if isinstance(g, DTensor)]
    kinds = [kind for kind in (sharded, [g for g in gradients if not isinstance(g, DTensor)]) if kind]
    norms = [full_state(nn.utils.get_total_norm(kind)) for kind in kinds]
    norm: Tensor = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    if limit is not None and math.isfinite(limit):
        # As torch.nn.utils.clip_grad_norm_, which takes gradients of one kind alone.
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        for kind in kinds:
            torch._foreach_mul_(kind, factor)
    return norm
