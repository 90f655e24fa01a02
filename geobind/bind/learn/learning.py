"""What of a tower learns in a stage, and how: made ready before it, undone after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from geobind.bind.learn.lora import Adapters
from geobind.config import STORED, Learn, Lora, Optim
from geobind.encoder import Encoder
from geobind.errors import RecipeError
from geobind.space.heads import Tower

COMPILERS = ("c++", "g++", "clang++", "cl")


class Learning:
    """A tower that is ready to learn for one stage.

    On construction the parameters that learn are those that require gradients. What an encoder's author has frozen
    (Fourier matrices, fixed position embeddings) never learns. :meth:`finish` makes the tower plain again: adapters
    are in its weights, and the names of its state are those from before.

    Args:
        tower: Changed in place.
        learn: ``frozen``, ``head``, ``last_N``, ``lora`` or ``full``.
        lora: The adapters of ``lora``, drawn from torch's global generator.
        gradient_checkpointing: Recompute the encoder's blocks in the backward pass; for encoders that learn.
        compile: ``torch.compile`` the encoder's forward; likewise.

    Raises:
        RecipeError: The encoder has too few blocks, or none for checkpointing; LoRA's targets fit nothing; there is
            no compiler, or checkpointing with batch norms beside it.
        PluginError: ``lora`` without ``peft``.
    """

    def __init__(
        self, tower: Tower, learn: Learn, lora: Lora, *, gradient_checkpointing: bool = False, compile: bool = False
    ) -> None:
        self.tower, self.learn = tower, learn
        encoder = tower.encoder
        with ExitStack() as undo:  # of a mistake halfway, nothing stays behind
            undo.callback(_set_flags, tower, {name: p.requires_grad for name, p in tower.named_parameters()})
            self._trained = self._choose(lora, undo)
            if learn not in STORED:
                if gradient_checkpointing and compile:
                    _check_together(encoder)
                if gradient_checkpointing:
                    undo.callback(_uncheckpoint, _checkpoint(encoder))
                if compile:
                    _check_compiler()
                    encoder.compile()
                    undo.callback(_uncompile, encoder)
            self._undo = undo.pop_all()

    def _choose(self, lora: Lora, undo: ExitStack) -> list[nn.Module]:
        """Set what requires gradients; returns the modules that are in training mode while the rest is not."""
        tower, encoder = self.tower, self.tower.encoder
        if self.learn == "full":
            return [tower]
        if self.learn == "frozen":
            tower.requires_grad_(False)
            return []
        if self.learn == "lora":
            adapters = Adapters(encoder, lora)
            undo.callback(adapters.merge)
            return [tower.head, *adapters.dropouts]
        if self.learn == "head":
            encoder.requires_grad_(False)
            return [tower.head]
        frozen = _below(encoder, int(self.learn.removeprefix("last_")))
        for parameter in frozen:
            parameter.requires_grad_(False)
        return [tower.head, *_free_of(encoder, {id(parameter) for parameter in frozen})]

    def parts(self) -> dict[str, nn.Module]:
        """``encoder`` and ``head``, those of them that learn; their states are what a checkpoint needs."""
        if self.learn == "frozen":
            return {}
        if self.learn == "head":
            return {"head": self.tower.head}
        return {"encoder": self.tower.encoder, "head": self.tower.head}

    def train_mode(self, mode: bool = True) -> None:
        """Put what learns into training mode; what is frozen stays in evaluation mode, its batch norms too.

        Of an encoder with adapters these alone drop out. Where only the last blocks learn, a module is in training
        mode if all its parameters learn, and then all that is inside it.
        """
        self.tower.eval()
        for module in self._trained:
            module.train(mode)

    def finish(self) -> None:
        """Merge adapters, take off checkpointing and compilation, and let require gradients what did before."""
        self._undo.close()


def parameter_groups(parts: Mapping[str, nn.Module], optim: Optim) -> list[dict[str, Any]]:
    """Groups of an optimiser: per part, and per depth with ``layer_decay``, matrices and then vectors.

    Args:
        parts: Modules by name. Those of encoders end in ``.encoder``; they have ``encoder_lr`` and ``layer_decay``:
            lr · layer_decay^(n + 1 - depth) with n blocks, see :meth:`geobind.Encoder.depths`.
        optim: Learning rates and weight decay. Vectors and scalars have no weight decay.

    Returns:
        Groups of the parameters that require gradients, in an order that depends on the modules alone.

    Raises:
        RecipeError: ``layer_decay`` for an encoder that has no blocks.
    """
    groups = []
    for name, part in parts.items():
        is_encoder = name.endswith(".encoder")
        lr = (optim.encoder_lr or optim.lr) if is_encoder else optim.lr
        depths: dict[str, int] = {}
        last = 0
        if is_encoder and optim.layer_decay is not None and isinstance(part, Encoder):
            depths, last = part.depths(), _block_count(part, "layer_decay") + 1
        learning = [(depths.get(key, last), p) for key, p in part.named_parameters() if p.requires_grad]
        for depth in sorted({depth for depth, _ in learning}):
            rate = lr * (optim.layer_decay or 1.0) ** (last - depth)
            here = [p for at, p in learning if at == depth]
            matrices, vectors = [p for p in here if p.ndim > 1], [p for p in here if p.ndim <= 1]
            groups.append({"params": matrices, "lr": rate, "weight_decay": optim.weight_decay})
            groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


# -- the last blocks ------------------------------------------------------------------------------


def _block_count(encoder: Encoder, wanted: str) -> int:
    if count := len(encoder.blocks()):
        return count
    raise RecipeError(
        f"{wanted} needs an encoder made of blocks; {type(encoder).__name__} has none",
        fix="Leave it out, or let the encoder's plugin name them in Encoder.blocks.",
    )


def _below(encoder: Encoder, blocks: int) -> list[nn.Parameter]:
    """The parameters below the last blocks."""
    count = _block_count(encoder, f"last_{blocks}")
    if blocks > count:
        raise RecipeError(
            f"last_{blocks}: {type(encoder).__name__} has {count} blocks", fix=f"Take last_{count} at most, or full."
        )
    depths = encoder.depths()
    return [parameter for name, parameter in encoder.named_parameters() if depths[name] <= count - blocks]


def _free_of(module: nn.Module, frozen: set[int]) -> Iterator[nn.Module]:
    """The outermost modules that have parameters, and none that is frozen."""
    parameters = [id(parameter) for parameter in module.parameters()]
    if parameters and frozen.isdisjoint(parameters):
        yield module
    elif parameters:
        for child in module.children():
            yield from _free_of(child, frozen)


def _set_flags(tower: Tower, flags: Mapping[str, bool]) -> None:
    for name, parameter in tower.named_parameters():
        parameter.requires_grad_(flags[name])


# -- gradient checkpointing -----------------------------------------------------------------------


def _checkpoint(encoder: Encoder) -> list[nn.Module]:
    """Have the blocks keep their inputs only, and compute the rest again in the backward pass."""
    _block_count(encoder, "gradient_checkpointing")
    blocks = list(encoder.blocks())
    for block in blocks:
        norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
        # No wrapper module, so that names stay; no closure, so that encoders can still be copied and sent.
        block.forward = partial(_recomputed, block.forward, norms)
    return blocks


def _uncheckpoint(blocks: Iterable[nn.Module]) -> None:
    for block in blocks:
        del block.forward


def _recomputed(forward: Callable[..., Any], norms: list[_BatchNorm], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    if not norms:  # torch.compile knows no contexts but torch's own
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=partial(_contexts, norms), **kwargs)


def _contexts(norms: list[_BatchNorm]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), statistics_kept(norms)


@contextmanager
def statistics_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Keep a second forward pass on the same items from moving the running statistics of batch norms."""
    # Not by `track_running_stats`: the pass must save the same tensors for its backward as the first one did.
    norms = [module for module in modules if isinstance(module, _BatchNorm) and module.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


# -- compilation ----------------------------------------------------------------------------------


def _check_compiler() -> None:
    names = (os.environ.get("CXX"), *COMPILERS)
    if not any(name and shutil.which(name) for name in names):
        raise RecipeError(
            f"compile: true needs a C++ compiler; none of {', '.join(COMPILERS)} is found",
            fix="Install one, name it in the environment variable CXX, or leave `compile` out.",
        )


def _check_together(encoder: Encoder) -> None:
    if any(isinstance(module, _BatchNorm) for block in encoder.blocks() for module in block.modules()):
        raise RecipeError(
            f"compile and gradient_checkpointing do not go together for {type(encoder).__name__}, whose blocks hold "
            "batch norms",
            fix="Leave out one of them.",
        )


def _uncompile(encoder: Encoder) -> None:
    encoder._compiled_call_impl = None  # nn.Module.compile has no other way back
