"""The encoder a plugin writes. Kept apart from ``modality`` because it imports torch.

Shapes: B batch, T tokens, d token width, E = ``embed_dim``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from geobind.errors import DataError

Batch = dict[str, Tensor]


class Encoder(nn.Module):
    """Turns items of one modality into vectors; the core adds the head and the unit norm.

    A subclass sets :attr:`embed_dim`, and writes :meth:`preprocess` and :meth:`forward`. Its builder returns
    it with random weights; :meth:`load_pretrained` brings weights in. A tower that is loaded from a
    space is built and filled, and never asks for the pretrained weights again.
    """

    embed_dim: int
    """Width E of what :meth:`forward` returns."""

    throughput_batch: int = 64
    """A batch size that suits this encoder when features are embedded without gradients."""

    def load_pretrained(self) -> str:
        """Load the weights the config names; called once, when a tower is first made.

        Returns:
            One phrase on where the weights come from; ``"random"`` when there are none.

        Raises:
            WeightsError: They are missing or altered, with the way to bring them.
        """
        return "random"

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> Batch:
        """Turn one item into tensors without batch dimension.

        Deterministic when ``train`` is False. When it is True, every random draw comes from ``generator``.

        Raises:
            DataError: The item cannot be read; the message names it.
        """
        raise NotImplementedError

    def batch_key(self, sample: Batch) -> Hashable:
        """What samples must have in common to share a batch, such as their bands; all may, by default."""
        return None

    def collate(self, samples: list[Batch]) -> Batch:
        """Stack preprocessed samples into a batch; override it for items of unequal length.

        One tensor at least has the batch as its first dimension. What was collated is never cut: micro-batches are
        collated one by one.

        Raises:
            DataError: There are no samples.
        """
        if not samples:
            raise DataError("a batch without samples", fix="Give one item at least.")
        return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}

    def forward(self, batch: Batch) -> Tensor:
        """Embed a batch: ``[B, E]`` float, not yet normalised."""
        raise NotImplementedError

    def tokens(self, batch: Batch) -> Tensor:
        """Dense features ``[B, T, d]``, for encoders that have them."""
        raise NotImplementedError(f"{type(self).__name__} has no dense features")

    def features_and_tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """:meth:`forward` and :meth:`tokens` of one batch; override it where one pass gives both."""
        return self(batch), self.tokens(batch)

    def blocks(self) -> Sequence[nn.Module]:
        """The repeated blocks of the network, input first; empty for a network that has none.

        A recipe's ``last_N``, ``layer_decay`` and ``gradient_checkpointing`` go by them. By default they are the
        modules of one class that stand together in an :class:`~torch.nn.ModuleList` or
        :class:`~torch.nn.Sequential` which is inside no other such row; of several classes the one with the most
        parameters. Networks of stages then have a block per stage: override this to return the blocks inside.
        """
        rows: defaultdict[type[nn.Module], list[nn.Module]] = defaultdict(list)

        def walk(module: nn.Module) -> None:
            children = [child for child in module.children() if _size(child)]
            kinds = Counter(type(child) for child in children if not isinstance(child, nn.ModuleList))
            if isinstance(module, nn.ModuleList | nn.Sequential) and max(kinds.values(), default=0) > 1:
                for child in children:
                    rows[type(child)].append(child)
            else:
                for child in children:
                    walk(child)

        walk(self)
        repeated = [row for row in rows.values() if len(row) > 1]
        return max(repeated, key=lambda row: sum(map(_size, row)), default=[])

    def depths(self) -> dict[str, int]:
        """The depth of every parameter by name: 0 before the n blocks, 1 … n inside them, n + 1 after the last.

        Between two blocks it is that of the earlier one. By default what is outside of the blocks is placed by the
        order of :meth:`~torch.nn.Module.named_parameters`. There a module's own parameters come before those of its
        children: override this for an output projection that is such a parameter.
        """
        blocks = self.blocks()
        inside = {id(p): number for number, block in enumerate(blocks, start=1) for p in block.parameters()}
        depths, passed = {}, 0
        for name, parameter in self.named_parameters():
            number = inside.get(id(parameter))
            passed = number or passed
            depths[name] = number or (passed if passed < len(blocks) else len(blocks) + 1)
        return depths

    def describe_preprocessing(self) -> dict[str, Any]:
        """What :meth:`preprocess` does, as JSON-able values; saved in the space beside the weights."""
        return {}


def device_of(module: nn.Module) -> torch.device:
    """Where a module lives; the CPU for one without parameters and buffers."""
    return next(chain(module.parameters(), module.buffers()), torch.empty(0)).device


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
