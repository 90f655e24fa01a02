"""The climates of Köppen and Geiger: their names, their definitions in plain words, how they look and sound.

The words follow the definitions in Kottek et al. (2006), "World Map of the Köppen-Geiger climate classification
updated". The other columns are ours: what the drawn landscapes and the synthesised sounds are made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Plant = Literal["palm", "broadleaf", "acacia", "conifer", "shrub", "none"]


@dataclass(frozen=True, slots=True)
class Climate:
    """One Köppen-Geiger class."""

    code: str
    name: str
    """As in "a NAME climate"."""
    plain: str
    """The definition in plain words."""
    warmth: float
    """0 (ice cap) to 1 (hot all year)."""
    wetness: float
    """0 (desert) to 1 (rain all year)."""
    plant: Plant
    cover: float
    """Share of the land under trees or shrubs, 0 to 1."""
    soil: tuple[int, int, int]
    """Colour of the open land."""
    snow: float
    """Share of the open land under snow, 0 to 1."""


_WORDS = {
    "Af": ("tropical rainforest", "hot, and wet all year"),
    "Am": ("tropical monsoon", "hot, with monsoon rains"),
    "As": ("tropical savanna", "hot, with dry summers"),
    "Aw": ("tropical savanna", "hot, with dry winters"),
    "BSh": ("hot semi-arid steppe", "hot, with little rain"),
    "BSk": ("cold semi-arid steppe", "dry, with cold winters"),
    "BWh": ("hot desert", "hot and arid"),
    "BWk": ("cold desert", "arid, with cold winters"),
    "Cfa": ("humid subtropical", "hot summers, and rain all year"),
    "Cfb": ("temperate oceanic", "mild, and wet all year"),
    "Cfc": ("subpolar oceanic", "cool summers, and wet all year"),
    "Csa": ("hot-summer Mediterranean", "hot dry summers, mild winters"),
    "Csb": ("warm-summer Mediterranean", "warm dry summers, wet winters"),
    "Csc": ("cold-summer Mediterranean", "cool dry summers, wet winters"),
    "Cwa": ("monsoon-influenced subtropical", "hot wet summers, dry winters"),
    "Cwb": ("subtropical highland", "mild wet summers, dry winters"),
    "Cwc": ("cold subtropical highland", "cool wet summers, dry winters"),
    "Dfa": ("hot-summer continental", "hot summers, cold winters"),
    "Dfb": ("warm-summer continental", "warm summers, cold snowy winters"),
    "Dfc": ("subarctic", "cool short summers, long snowy winters"),
    "Dfd": ("extreme subarctic", "short summers, bitterly cold winters"),
    "Dsa": ("hot dry-summer continental", "hot dry summers, cold winters"),
    "Dsb": ("warm dry-summer continental", "warm dry summers, cold snowy winters"),
    "Dsc": ("dry-summer subarctic", "cool dry summers, long cold winters"),
    "Dsd": ("dry-summer extreme subarctic", "short dry summers, bitterly cold winters"),
    "Dwa": ("hot-summer monsoon continental", "hot wet summers, cold dry winters"),
    "Dwb": ("warm-summer monsoon continental", "warm wet summers, cold dry winters"),
    "Dwc": ("monsoon subarctic", "cool short summers, long cold dry winters"),
    "Dwd": ("monsoon extreme subarctic", "short summers, bitterly cold dry winters"),
    "EF": ("ice cap", "frozen all year"),
    "ET": ("tundra", "too cold for trees"),
}
"""Name, and definition in plain words."""

_LOOKS: dict[str, tuple[float, float, Plant, float, tuple[int, int, int], float]] = {
    "Af": (1.0, 1.0, "palm", 1.0, (52, 96, 38), 0.0),
    "Am": (1.0, 0.9, "palm", 0.85, (72, 112, 44), 0.0),
    "As": (0.97, 0.6, "acacia", 0.4, (142, 144, 66), 0.0),
    "Aw": (0.97, 0.65, "acacia", 0.5, (130, 144, 60), 0.0),
    "BSh": (0.9, 0.25, "acacia", 0.2, (186, 160, 92), 0.0),
    "BSk": (0.55, 0.25, "shrub", 0.25, (172, 158, 104), 0.0),
    "BWh": (0.95, 0.0, "none", 0.0, (222, 184, 122), 0.0),
    "BWk": (0.55, 0.05, "shrub", 0.08, (178, 154, 128), 0.0),
    "Cfa": (0.75, 0.75, "broadleaf", 0.65, (104, 142, 62), 0.0),
    "Cfb": (0.55, 0.75, "broadleaf", 0.5, (98, 150, 74), 0.0),
    "Cfc": (0.4, 0.8, "shrub", 0.3, (110, 132, 84), 0.05),
    "Csa": (0.72, 0.4, "shrub", 0.45, (168, 154, 88), 0.0),
    "Csb": (0.6, 0.45, "shrub", 0.5, (152, 152, 86), 0.0),
    "Csc": (0.42, 0.5, "shrub", 0.3, (142, 144, 92), 0.1),
    "Cwa": (0.78, 0.6, "broadleaf", 0.5, (126, 146, 64), 0.0),
    "Cwb": (0.6, 0.55, "broadleaf", 0.35, (134, 150, 76), 0.0),
    "Cwc": (0.4, 0.5, "shrub", 0.15, (150, 146, 94), 0.1),
    "Dfa": (0.5, 0.6, "broadleaf", 0.4, (126, 150, 72), 0.0),
    "Dfb": (0.42, 0.6, "conifer", 0.5, (112, 142, 78), 0.05),
    "Dfc": (0.28, 0.55, "conifer", 0.75, (98, 116, 74), 0.2),
    "Dfd": (0.2, 0.45, "conifer", 0.55, (104, 112, 82), 0.35),
    "Dsa": (0.52, 0.35, "shrub", 0.25, (168, 152, 96), 0.03),
    "Dsb": (0.43, 0.4, "conifer", 0.25, (152, 146, 96), 0.08),
    "Dsc": (0.27, 0.4, "conifer", 0.45, (118, 120, 86), 0.25),
    "Dsd": (0.18, 0.35, "conifer", 0.35, (114, 114, 88), 0.4),
    "Dwa": (0.52, 0.5, "broadleaf", 0.45, (134, 148, 74), 0.0),
    "Dwb": (0.42, 0.48, "conifer", 0.4, (132, 142, 84), 0.05),
    "Dwc": (0.27, 0.42, "conifer", 0.5, (120, 122, 82), 0.18),
    "Dwd": (0.18, 0.38, "conifer", 0.4, (116, 116, 86), 0.35),
    "EF": (0.0, 0.3, "none", 0.0, (226, 232, 240), 1.0),
    "ET": (0.12, 0.35, "none", 0.0, (138, 132, 108), 0.3),
}
"""Warmth, wetness, plant, cover, soil, snow."""

CLIMATES = {code: Climate(code, name, plain, *_LOOKS[code]) for code, (name, plain) in _WORDS.items()}
OCEAN = "Ocean"
"""The value of the Köppen map where there is no land."""
NO_CLASS = 0
"""The code of a pixel of ``classmap`` without a climate: the sea."""
CODES = {name: number for number, name in enumerate(CLIMATES, start=1)}
"""Köppen class → its code in ``classmap``: 1 for ``Af`` to 31 for ``ET``, in the order of the alphabet."""
