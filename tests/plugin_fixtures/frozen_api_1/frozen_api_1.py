"""Every hook and every field of plugin API 1 as it first came out.

Never edit this file: it stands for plugins that were published. A test pins its hash.
"""

import geobind

GEOBIND_PLUGIN_API = 1


class NetConfig(geobind.Config):
    """A linear layer."""

    width: int = 8
    """Width of the embedding."""


class DataConfig(geobind.Config):
    """Made-up places."""

    places: int = 20
    """Number of places."""


class LossConfig(geobind.Config):
    """Mean squared distance."""

    scale: float = 1.0
    """Factor of the loss."""


@geobind.hookimpl
def geobind_modalities():
    return [
        geobind.ModalitySpec(
            name="frozen",
            item="array [4], kelvin",
            summary="A modality as of plugin API 1",
            preview="frozen_api_1:preview",
            sound="frozen_api_1:sound",
        )
    ]


@geobind.hookimpl
def geobind_encoders():
    return [
        geobind.EncoderSpec(
            name="net",
            modality="frozen",
            config=NetConfig,
            build="frozen_api_1:build",
            summary="A linear layer",
            licence="CC0-1.0",
        )
    ]


@geobind.hookimpl
def geobind_datasets():
    return [
        geobind.DatasetSpec(
            name="frozen",
            config=DataConfig,
            build="frozen_api_1:build_dataset",
            modalities=("frozen",),
            summary="Made-up places",
            licence="CC0-1.0",
        )
    ]


@geobind.hookimpl
def geobind_losses():
    return [
        geobind.LossSpec(
            name="frozen",
            config=LossConfig,
            build="frozen_api_1:build_loss",
            summary="Mean squared distance",
        )
    ]


@geobind.hookimpl
def geobind_recipes():
    return [
        geobind.RecipeSpec(name="frozen", path=__file__.replace("frozen_api_1.py", "frozen.yaml"), summary="One stage")
    ]


@geobind.hookimpl
def geobind_trackers():
    return [geobind.TrackerSpec(name="frozen", build="frozen_api_1:build_tracker", summary="Keeps what it is told")]


@geobind.hookimpl
def geobind_cli(app):
    @app.command("frozen")
    def command():
        """Say what this is."""
        print("frozen at plugin API 1")


def preview(item):
    return str(list(item))


def sound(item):
    return b"RIFF"


def build(config):
    import torch
    from torch import nn

    class Net(geobind.Encoder):
        def __init__(self):
            super().__init__()
            self.embed_dim = config.width
            self.net = nn.Linear(4, config.width)

        def load_pretrained(self):
            return "random"

        def preprocess(self, item, *, train, generator=None):
            return {"x": torch.as_tensor(item, dtype=torch.float32)}

        def forward(self, batch):
            return self.net(batch["x"])

        def describe_preprocessing(self):
            return {}

    return Net()


def build_dataset(config):
    import numpy as np

    class Data(geobind.Dataset):
        modalities = ("frozen",)
        fingerprint = f"frozen-{config.places}"

        def items(self, modality, split):
            places = np.arange(config.places).astype(str)
            return geobind.Items(
                modality=modality,
                load=lambda row: np.full(4, row, "f4"),
                place=places,
                key=np.char.add("frozen-", places),
            )

        def origin(self, a, b):
            return "made up"

    return Data()


def build_loss(config):
    class Distance(geobind.Loss):
        def forward(self, a, b, positives):
            return config.scale * (a - b).square().mean()

    return Distance()


def build_tracker(folder, settings):
    class Kept:
        def __init__(self):
            self.told = []

        def log(self, stage, step, values):
            self.told.append((stage, step, values))

        def close(self, status):
            self.told.append(status)

    return Kept()
