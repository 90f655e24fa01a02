"""How series are read and encoded; the core adds the way into the space."""

from pathlib import Path
from typing import Any

import geobind
import numpy as np
import torch
from torch import Tensor, nn

from geobind_timeseries import SeriesCNNConfig


def read(item: Any, channels: int) -> Tensor:
    """An array, or the path of a `.npy` file, as float32 ``[days, channels]`` with NaN where a value is missing.

    Raises:
        DataError: It cannot be read, has another shape, is empty, holds infinity, or nothing but NaN.
    """
    where = f"timeseries item, {item if isinstance(item, str | Path) else type(item).__name__}"
    try:
        array = np.asarray(np.load(item) if isinstance(item, str | Path) else item, dtype=np.float32)
    except (OSError, EOFError, TypeError, ValueError) as error:
        raise geobind.DataError(f"it is no array of numbers: {error}", where=where, fix="Make a .npy file.") from error
    if array.ndim != 2 or array.shape[1] != channels or not array.size:
        fix = f"Make it [days, {channels}], or mend the encoder's `channels`."
        raise geobind.DataError(f"its shape is {array.shape}", where=where, fix=fix)
    if np.isinf(array).any() or np.isnan(array).all():
        fix = "Write NaN where a value is missing, and leave out a series without any value."
        raise geobind.DataError("it holds infinity, or nothing but NaN", where=where, fix=fix)
    return torch.tensor(array)


class SeriesCNN(geobind.Encoder):
    """Weeks as patches, dilated convolutions over them (31 weeks see each other), and their mean.

    A day comes with the sine and cosine of its phase in the year, so the mean over weeks still tells January from July.
    What is missing is zero and flagged; a week without a value is treated as padding, and never seen.
    """

    def __init__(self, config: SeriesCNNConfig) -> None:
        super().__init__()
        self.config, self.embed_dim = config, config.width
        self.week = nn.Conv1d(2 * config.channels + 2, config.width, kernel_size=7, stride=7)
        self.tcn = nn.ModuleList(nn.Conv1d(config.width, config.width, 3, padding=d, dilation=d) for d in (1, 2, 4, 8))

    def preprocess(self, item: Any, *, train: bool, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """``{"days": float32 [D, 2C + 2]}``, D in whole weeks: C values (noisy in training), C flags, sine, cosine."""
        values = (read(item, self.config.channels) - self.config.mean) / self.config.std
        if train:  # every random draw comes from the generator, so that a run can be repeated
            values = values + 0.1 * torch.randn(values.shape, generator=generator)
        values = nn.functional.pad(values, (0, 0, 0, -len(values) % 7), value=torch.nan)
        present = ~values.isnan()
        phase = 2 * torch.pi / 365.2425 * torch.arange(len(values))[:, None]
        season = torch.cat([phase.sin(), phase.cos()], dim=1) * present.any(dim=1, keepdim=True)
        return {"days": torch.cat([values.nan_to_num(0), present.float(), season], dim=1)}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """``days [B, D, 2C + 2]``, zeros up to the longest: as days without a value."""
        if not samples:
            return super().collate(samples)  # raises
        return {"days": nn.utils.rnn.pad_sequence([sample["days"] for sample in samples], batch_first=True)}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """``[B, embed_dim]``: the mean over weeks, by how many days of each are known."""
        days = batch["days"].transpose(1, 2)
        share = nn.functional.avg_pool1d(days[:, self.config.channels : -2].amax(dim=1, keepdim=True), 7)
        x: Tensor = self.week(days) * (share > 0)
        for layer in self.tcn:
            x = (x + nn.functional.gelu(layer(x))) * (share > 0)
        return (x * share).sum(dim=2) / share.sum(dim=2)

    def describe_preprocessing(self) -> dict[str, Any]:
        """What is saved in the space beside the weights."""
        return {"channels": self.config.channels, "mean": self.config.mean, "std": self.config.std, "year": 365.2425}
