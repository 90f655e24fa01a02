"""How bags of tags are encoded; the core adds the way into the space."""

import zlib
from typing import Any

import geobind
import torch
from torch import Tensor, nn

from geobind_maptags import TagSetConfig
from geobind_maptags.items import read


def bucket(tag: str, buckets: int) -> int:
    """Row of the table for a tag: the same on every machine, unlike Python's own ``hash``."""
    return zlib.crc32(tag.encode()) % buckets


class TagSet(geobind.Encoder):
    """The mean of log(1 + count) · embedding over the tags, then an MLP (Deep Sets, arXiv 1703.06114).

    B items of a batch, L tags of the longest, E = ``embed_dim``.
    """

    def __init__(self, config: TagSetConfig) -> None:
        super().__init__()
        self.buckets, self.drop, self.embed_dim = config.buckets, config.drop, config.width
        self.table = nn.EmbeddingBag(config.buckets, config.width, mode="sum")
        self.net = nn.Sequential(nn.Linear(config.width, 256), nn.GELU(), nn.Linear(256, config.width))

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``{"bucket": int64 [L], "weight": float32 [L]}``; in training some tags are left out."""
        tags = sorted(read(item).items())  # in any order of the item, sums are the same bit by bit
        rows = torch.tensor([bucket(tag, self.buckets) for tag, _ in tags])
        logs = torch.tensor([count for _, count in tags]).log1p()
        if train:
            draws = torch.rand(len(tags), generator=generator)
            keep = (draws >= self.drop) | (draws == draws.max())
            rows, logs = rows[keep], logs[keep]
        return {"bucket": rows, "weight": logs / len(rows)}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Each ``[B, L]``; shorter bags are filled up with weight 0, which adds nothing."""
        if not samples:
            raise geobind.DataError("a batch without samples", fix="Give one at least.")
        pad = nn.utils.rnn.pad_sequence
        return {name: pad([sample[name] for sample in samples], batch_first=True) for name in samples[0]}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """``bucket [B, L]``, ``weight [B, L]`` → ``[B, E]``."""
        embedding: Tensor = self.net(self.table(batch["bucket"], per_sample_weights=batch["weight"]))
        return embedding

    def describe_preprocessing(self) -> dict[str, Any]:
        """What is saved in the space beside the weights."""
        return {"hash": "crc32", "buckets": self.buckets, "weight": "log1p(count) / tags"}
