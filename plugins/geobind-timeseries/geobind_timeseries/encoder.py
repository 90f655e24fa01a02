"""Series of any length → features. Batch of B series, D days (padded), W = D / 7 weeks, C channels."""

from typing import Any

import geobind
import torch
from torch import Tensor, nn

from geobind_timeseries import SeriesCNNConfig
from geobind_timeseries.items import read


class SeriesCNN(geobind.Encoder):
    """Weeks as patches, dilated convolutions over them (31 weeks see each other), and their mean.

    A day comes with the sine and cosine of its phase in the year, so the mean over weeks still tells January from July.
    What is missing is zero and flagged; a week without a value is treated as padding, and never seen.
    """

    def __init__(self, config: SeriesCNNConfig) -> None:
        super().__init__()
        self.config, self.embed_dim = config, 2 * config.width
        self.week = nn.Conv1d(2 * len(config.channels) + 2, config.width, kernel_size=7, stride=7)
        self.dilated = nn.ModuleList(
            nn.Conv1d(config.width, config.width, kernel_size=3, padding=d, dilation=d) for d in (1, 2, 4, 8)
        )
        self.out = nn.Linear(config.width, self.embed_dim)

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``{"days": float32 [days, 2C + 2]}``: values, which are present, sine and cosine; with noise in training."""
        array, channels = read(item), self.config.channels
        if array.shape[1] != len(channels):
            names = ", ".join(f"{channel.name} ({channel.units})" for channel in channels)
            fix = f"Give {names}, or mend the encoder's `channels`."
            raise geobind.DataError(f"a series has {array.shape[1]} channels, not {len(channels)}", fix=fix)
        values = torch.tensor(array)
        values = (values - torch.tensor([c.mean for c in channels])) / torch.tensor([c.std for c in channels])
        if train:  # every random draw comes from the generator, so that a run can be repeated
            values = values + 0.1 * torch.randn(values.shape, generator=generator)
        present = ~values.isnan()
        phase = 2 * torch.pi / 365.2425 * torch.arange(len(values))[:, None]
        season = torch.cat([phase.sin(), phase.cos()], dim=1) * present.any(dim=1, keepdim=True)
        return {"days": torch.cat([values.nan_to_num(0), present.float(), season], dim=1)}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Zeros up to whole weeks of the longest: ``days [B, D, 2C + 2]``; ``known [B, W]``: share of days known."""
        if not samples:
            return super().collate(samples)  # raises
        days = nn.utils.rnn.pad_sequence([sample["days"] for sample in samples], batch_first=True)
        days = nn.functional.pad(days, (0, 0, 0, -days.shape[1] % 7))
        known = days[:, :, len(self.config.channels) : -2].any(dim=2)
        return {"days": days, "known": known.reshape(len(days), -1, 7).float().mean(dim=2)}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """``[B, E]``: the mean over weeks, by how much of each is known."""
        share = batch["known"][:, None]
        x = self.week(batch["days"].transpose(1, 2)) * (share > 0)
        for layer in self.dilated:
            x = (x + nn.functional.gelu(layer(x))) * (share > 0)
        features: Tensor = self.out((x * share).sum(dim=2) / share.sum(dim=2))
        return features

    def describe_preprocessing(self) -> dict[str, Any]:
        """What is saved in the space beside the weights: the channels with their units."""
        return {"channels": [channel.model_dump() for channel in self.config.channels], "year": 365.2425}
