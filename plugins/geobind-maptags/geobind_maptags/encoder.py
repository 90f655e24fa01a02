"""How bags of map tags are read and encoded; the core adds the way into the space."""

import textwrap
import zlib
from pathlib import Path
from typing import Annotated, Any

import geobind
import torch
from pydantic import ConfigDict, Field, TypeAdapter
from torch import Tensor, nn

from geobind_maptags import TagSetConfig

Tags = dict[Annotated[str, Field(pattern="^[^=]+=.+")], Annotated[float, Field(gt=0, allow_inf_nan=False)]]
BAG = TypeAdapter(Annotated[Tags, Field(min_length=1)], config=ConfigDict(strict=True))


def read(item: Any) -> dict[str, float]:
    """A dictionary of tags and counts, or the path of a JSON file that holds one.

    Raises:
        DataError: It cannot be read, is empty, has a tag without ``=``, or a count that is not finite and above 0.
    """
    path = Path(item) if isinstance(item, str | Path) else None
    try:
        return BAG.validate_json(path.read_bytes()) if path else BAG.validate_python(item)
    except (OSError, ValueError) as error:
        where, told = f"maptags item, {path or type(item).__name__}", textwrap.shorten(str(error), 160)
        raise geobind.DataError(told, where=where, fix='Give {"key=value": count}, counts above 0.') from error


def example(index: int) -> dict[str, float]:
    """A made-up item of one to four tags, another for every index."""
    return {f"natural={index + row}": 1.0 + index + row for row in range(1 + index % 4)}


class TagSet(geobind.Encoder):
    """The mean of log(1 + count) · embedding over the tags, then an MLP (Deep Sets, arXiv 1703.06114)."""

    def __init__(self, config: TagSetConfig) -> None:
        super().__init__()
        self.buckets, self.drop, self.embed_dim = config.buckets, config.drop, config.width
        self.table = nn.EmbeddingBag(config.buckets, config.width, mode="sum")
        self.net = nn.Sequential(nn.Linear(config.width, 256), nn.GELU(), nn.Linear(256, config.width))

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``{"bucket": int64 [L], "weight": float32 [L]}``; in training some tags are left out."""
        bag = sorted(read(item).items())  # in any order of the item, sums are the same bit by bit
        if train:  # one tag at least is kept
            draws = torch.rand(len(bag), generator=generator).tolist()
            bag = [pair for pair, draw in zip(bag, draws, strict=True) if draw >= min(self.drop, max(draws))]
        rows = torch.tensor([zlib.crc32(tag.encode()) % self.buckets for tag, _ in bag])  # Python's hash is random
        logs = torch.tensor([count for _, count in bag], dtype=torch.float64).log1p()
        return {"bucket": rows, "weight": logs.float() / len(bag)}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Each ``[B, L]``, L tags of the longest; shorter bags are filled up with weight 0, which adds nothing."""
        if not samples:
            return super().collate(samples)
        return {name: nn.utils.rnn.pad_sequence([s[name] for s in samples], batch_first=True) for name in samples[0]}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """``bucket [B, L]``, ``weight [B, L]`` → ``[B, E]``, E = ``embed_dim``."""
        embedding: Tensor = self.net(self.table(batch["bucket"], per_sample_weights=batch["weight"]))
        return embedding

    def describe_preprocessing(self) -> dict[str, Any]:
        """What is saved in the space beside the weights."""
        return {"hash": "crc32", "buckets": self.buckets, "weight": "log1p(count) / tags"}
