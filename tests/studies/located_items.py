"""A one-file plugin for tests: towns far apart, whose looks have nothing to do with where they are.

Both modalities of the towns of one region look alike, so a pair is found once its region has been seen, and not before.
"""

from __future__ import annotations

import geobind


class TownsConfig(geobind.Config):
    regions: int = 40
    """Regions, each in a block of its own."""
    towns: int = 6
    """Towns of a region."""
    located: bool = True
    """Whether it is known where they are."""


@geobind.hookimpl
def geobind_datasets():
    return [
        geobind.DatasetSpec(
            name="towns", modalities=("toy_a", "toy_b"), config=TownsConfig, build="located_items:build_towns"
        )
    ]


def build_towns(config):
    from functools import partial

    import numpy as np

    class Towns(geobind.Dataset):
        modalities = ("toy_a", "toy_b")
        fingerprint = f"towns-{config.regions}-{config.towns}"

        def __init__(self):
            rng = np.random.default_rng(0)
            region = np.repeat(np.arange(config.regions), config.towns)
            n = len(region)
            centre = np.stack([region % 10, region // 10], axis=1) * 3.0 + 0.5
            self.lat_lon = centre + rng.uniform(-0.2, 0.2, size=(n, 2))
            self.looks = {
                name: rng.normal(size=(config.regions, 6))[region] + rng.normal(scale=0.1, size=(n, 6))
                for name in self.modalities
            }
            self.split = rng.permutation(np.arange(n) % 3)

        def load(self, modality, rows, index):
            return self.looks[modality][rows[index]].astype("f4")

        def items(self, modality, split):
            rows = np.flatnonzero(self.split == ("train", "val", "test").index(split))
            return geobind.Items(
                modality=modality,
                load=partial(self.load, modality, rows),
                place=np.array([f"town {row}" for row in rows]),
                key=np.array([f"{modality} of {self.fingerprint} {row}" for row in rows]),
                lat_lon=self.lat_lon[rows] if config.located else None,
            )

        def origin(self, a, b):
            return "made up for tests"

    return Towns()
