"""Images of any sensor: modalities, a transformer for any bands, readers, and a loss that distils. Only specs here."""

from __future__ import annotations

import geobind
from geobind_sensors import composite, maka, modalities, readers, vit


@geobind.hookimpl
def geobind_modalities() -> list[geobind.ModalitySpec]:
    """A modality per kind of sensor, one per sensor that a user declares, and maps of land cover."""
    return modalities.specs()


@geobind.hookimpl
def geobind_encoders() -> list[geobind.EncoderSpec]:
    """The transformer that takes any bands, and image towers that see three bands as a picture."""
    return [*vit.specs(), *composite.specs()]


@geobind.hookimpl
def geobind_datasets() -> list[geobind.DatasetSpec]:
    """Readers of GeoTIFF files and of GeoLangBind's shards."""
    return readers.specs()


@geobind.hookimpl
def geobind_losses() -> list[geobind.LossSpec]:
    """Distillation from several teachers beside a contrastive loss."""
    return maka.specs()
