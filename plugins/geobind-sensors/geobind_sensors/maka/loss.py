"""The loss of MaKA, modality-aware knowledge agglomeration (GeoLangBind, arXiv 2503.06312).

Shapes: n items, T places of the student, d its width; t and d' likewise of a teacher; C bands.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from geobind.encoder import Batch, Encoder
from geobind.errors import RecipeError
from geobind.loss import Loss, Positives
from geobind.plugins import get_plugins
from geobind_sensors.maka import Distances, MakaConfig, Teacher
from geobind_sensors.maka.teachers import make_teacher
from geobind_sensors.maka.translator import Resized, Translator, grid


class Maka(Loss):
    """A contrastive loss of the pairs, and how far each item's dense features are from what its teachers see.

    Each item adds ``weight · Σ over teachers of weight · (mse + smooth L1 + 1 - cosine)``, with a weight for each
    distance as well. They are the published ones: the means over places and features of an item, and the cosine of all
    its features as one vector of ``t · d'`` numbers.

    Teachers' features are compared as they are, not standardised. Those of transformers end in a norm and are of order
    one; those of a convolutional network have any scale, which the first two distances feel and the cosine does not:
    see to it by ``weight`` and ``distances``. (EfficientNet-Lite0's have a mean square of 4.9 over 600 EuroSAT patches
    seen at 128 pixels.)

    Evaluation, and so validation, takes the contrastive loss alone.
    """

    def __init__(self, config: MakaConfig, contrastive: Loss) -> None:
        super().__init__()
        self.config, self.contrastive = config, contrastive
        self.translators = nn.ModuleList()
        """In the order of the teachers, once the loss has met its student."""
        self._teachers: dict[str, Encoder] = {}

    def forward(self, anchor: Tensor, modality: Tensor, positives: Positives) -> Tensor:
        """The contrastive loss."""
        value: Tensor = self.contrastive(anchor, modality, positives)
        return value

    @property
    def teachers(self) -> Mapping[str, Encoder]:
        """Made with their weights when they are first asked for."""
        if not self._teachers:
            self._teachers = {teacher.name: make_teacher(teacher) for teacher in self.config.teachers}
        return self._teachers

    def meet(self, tokens: Tensor, batch: Batch, taught: Mapping[str, Tensor]) -> None:
        """Make the translators.

        Raises:
            RecipeError: Dense features that are no square grid, or of unequal width where nothing translates.
        """
        grid(tokens.shape[1], "the student")
        self.translators = nn.ModuleList(
            _translator(teacher, tokens, taught[teacher.name], conditioned="wavelengths" in batch)
            for teacher in self.config.teachers
        )

    def of_items(self, tokens: Tensor, batch: Batch, taught: Mapping[str, Tensor]) -> Tensor:
        """``[n]`` the weighted distances of each item to all teachers."""
        wavelengths = batch.get("wavelengths")
        total = tokens.new_zeros(len(tokens))
        for teacher, translator in zip(self.config.teachers, self.translators, strict=True):
            seen = translator(tokens, wavelengths)
            wanted = taught[teacher.name].to(seen.dtype)
            total = total + teacher.weight * distance(seen, wanted, self.config.distances)
        return self.config.weight * total

    def clamp(self) -> None:
        """As the contrastive loss has it."""
        self.contrastive.clamp()

    def report(self) -> dict[str, float]:
        """As the contrastive loss has it."""
        return self.contrastive.report()


def distance(seen: Tensor, wanted: Tensor, weights: Distances) -> Tensor:
    """``[n]``: mean squared error, mean smooth L1 (of scale 1) and 1 - cosine of ``[n, t, d']``, weighted."""
    x, y = seen.flatten(1), wanted.flatten(1)
    return (
        weights.mse * F.mse_loss(x, y, reduction="none").mean(1)
        + weights.smooth_l1 * F.smooth_l1_loss(x, y, reduction="none").mean(1)
        + weights.cosine * (1 - F.cosine_similarity(x, y, dim=1))
    )


def _translator(teacher: Teacher, tokens: Tensor, taught: Tensor, *, conditioned: bool) -> nn.Module:
    width, (places, teacher_width) = tokens.shape[2], taught.shape[1:]
    side = grid(places, f"teacher {teacher.name!r}")
    if teacher.translate:
        return Translator(width, teacher_width, side, conditioned=conditioned)
    if width != teacher_width:
        raise RecipeError(
            f"teacher {teacher.name!r} has dense features of width {teacher_width}, the student of width {width}, and "
            "nothing translates",
            where="loss 'maka'",
            fix=f"Set translate: true for {teacher.name!r}, or take encoders of equal width.",
        )
    return Resized(side)


def build(config: MakaConfig) -> Maka:
    """Builder of the ``maka`` spec; teachers are made when they are asked for."""
    return Maka(config, get_plugins().loss(config.contrastive).build())
