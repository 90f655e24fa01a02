"""Every hook and every field of plugin API 1, those that were added to it included.

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
            name="frozen_full",
            item="array [4], kelvin",
            summary="A modality as of plugin API 1",
            units="K",
            example="frozen_api_1_full:item",
            unchecked={"items_differ": "made up for tests"},
            preview="frozen_api_1_full:preview",
            sound="frozen_api_1_full:sound",
        )
    ]


@geobind.hookimpl
def geobind_encoders():
    return [
        geobind.EncoderSpec(
            name="net",
            modality="frozen_full",
            config=NetConfig,
            build="frozen_api_1_full:build",
            summary="A linear layer",
            licence="CC0-1.0",
            weights="frozen_api_1_full:weights",
            example={"width": 4},
            unchecked={"loss_falls": "made up for tests"},
        )
    ]


@geobind.hookimpl
def geobind_datasets():
    return [
        geobind.DatasetSpec(
            name="frozen_full",
            config=DataConfig,
            build="frozen_api_1_full:build_dataset",
            modalities=("frozen_full",),
            summary="Made-up places",
            licence="CC0-1.0",
            example="frozen_api_1_full:write",
            unchecked={"coordinates": "made up for tests"},
        )
    ]


@geobind.hookimpl
def geobind_losses():
    return [
        geobind.LossSpec(
            name="frozen_full",
            config=LossConfig,
            build="frozen_api_1_full:build_loss",
            summary="Mean squared distance",
            example={"scale": 2.0},
            unchecked={"loss_falls": "made up for tests"},
        )
    ]


@geobind.hookimpl
def geobind_recipes():
    return [
        geobind.RecipeSpec(
            name="frozen_full", path=__file__.replace("frozen_api_1_full.py", "frozen_full.yaml"), summary="One stage"
        )
    ]


@geobind.hookimpl
def geobind_trackers():
    return [
        geobind.TrackerSpec(
            name="frozen_full", build="frozen_api_1_full:build_tracker", summary="Keeps what it is told"
        )
    ]


@geobind.hookimpl
def geobind_cli(app):
    @app.command("frozen_full")
    def command():
        """Say what this is."""
        print("frozen at plugin API 1")


def preview(item):
    return str(list(item))


def sound(item):
    return b"RIFF"


def item(index):
    return [270.0 + index, 280.0, 290.0, 300.0]


def weights(config):
    return "inside the package"


def write(folder):
    return {"places": 3}


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
        modalities = ("frozen_full",)
        fingerprint = f"frozen_full-{config.places}"

        def items(self, modality, split):
            places = np.arange(config.places).astype(str)
            return geobind.Items(
                modality=modality,
                load=lambda row: np.full(4, row, "f4"),
                place=places,
                key=np.char.add("frozen_full-", places),
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
