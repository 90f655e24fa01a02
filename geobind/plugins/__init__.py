"""Plugins: found, loaded each in isolation, recorded, and resolved by name."""

from __future__ import annotations

from geobind.plugins.catalogue import GROUP as GROUP
from geobind.plugins.catalogue import Plugins as Plugins
from geobind.plugins.catalogue import build_dataset as build_dataset
from geobind.plugins.catalogue import get_plugins as get_plugins
from geobind.plugins.record import PluginRecord as PluginRecord
