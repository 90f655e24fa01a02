"""Fixtures of the studies: plans of the toy recipe, and one whose items have coordinates."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from geobind.plan import load_plan
from geobind.plugins import get_plugins


@pytest.fixture(scope="session", autouse=True)
def located_items(toy_plugin):
    if "located_items" not in sys.modules:
        get_plugins().load_file(Path(__file__).with_name("located_items.py"))


@pytest.fixture
def plan(toy_recipe, write_recipe):
    """The plan of the toy recipe, changed as asked."""

    def make(change=lambda recipe: None):
        change(toy_recipe)
        return load_plan(str(write_recipe(toy_recipe)), get_plugins())

    return make


@pytest.fixture
def towns(plan):
    """A plan of one stage over towns."""

    def make(**dataset):
        def change(recipe):
            recipe["defaults"]["dataset"] = {"type": "towns", **dataset}
            recipe["defaults"]["head"] = {"type": "mlp", "hidden": 64}
            recipe["defaults"]["optim"] |= {"epochs": 12, "batch_size": 64}
            recipe["stages"] = [{"name": "b", "modality": "toy_b", "train": "modality", "encoder": {"type": "toy"}}]

        return plan(change)

    return make
