"""Teachers: frozen image towers behind a composite, each made once however many stages they teach."""

from __future__ import annotations

from weakref import WeakValueDictionary

import torch

from geobind.encoder import Encoder
from geobind.plugins import get_plugins
from geobind.progress import say
from geobind_sensors.composite_tower import Composite
from geobind_sensors.maka import TEACHING, Teacher

_made: WeakValueDictionary[str, Encoder] = WeakValueDictionary()


def make_teacher(teacher: Teacher) -> Encoder:
    """The tower with its weights, which nothing changes.

    Raises:
        RecipeError: No such network.
        WeightsError: Its weights are missing.
    """
    choice = get_plugins().encoder(TEACHING, teacher.encoder)
    key = repr((choice.as_dict(), teacher.bands))
    if (made := _made.get(key)) is not None:
        return made
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower: Encoder = choice.build()
    phrase = tower.load_pretrained()
    say(f"teacher {teacher.name}: {choice.type}, weights: {phrase}")
    _made[key] = made = Composite(tower, teacher.bands)
    made.requires_grad_(False).eval()
    return made
