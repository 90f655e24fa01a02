"""Captions of a place, written from its facts: nothing is guessed, and numbers are as coarse as they are true."""

from __future__ import annotations

import math

import numpy as np

from geobind_world.facts import Fact

PER_PLACE = 4
"""Captions of each place."""

_POINTS = (
    *("north", "north-north-east", "north-east", "east-north-east"),
    *("east", "east-south-east", "south-east", "south-south-east"),
    *("south", "south-south-west", "south-west", "west-south-west"),
    *("west", "west-north-west", "north-west", "north-north-west"),
)


def captions(fact: Fact, rng: np.random.Generator) -> list[str]:
    """:data:`PER_PLACE` sentences of different build; ``rng`` picks among wordings.

    Each one places the town, so that few places share a caption, and says what pixels can show. The last is
    the fullest: it alone stands for the place when a space is evaluated.
    """
    climate, where = fact.climate, whereabouts(fact)
    land = ", ".join(phrase for phrase in (terrain(fact), sea(fact)) if phrase)
    north = latitude(fact.lat)
    view = _pick(rng, "Land", "Countryside", "A landscape", "An area")
    article = "an" if climate.name[0] in "aeiou" else "a"
    return [
        f"{view} {where}: {land}; {climate.plain}.",
        f"{_capital(article)} {climate.name} climate {_pick(rng, 'at', 'around')} {north}, {where}.",
        f"{_capital(land)}, with {article} {climate.name} climate, {where}.",
        f"{_pick(rng, 'Seen from above', 'A satellite view')}: {where}, {north}, {climate.plain}, {land}.",
    ]


def whereabouts(fact: Fact) -> str:
    """The place by its nearest town: ``"117 km north-east of Tamanrasset, Algeria"``."""
    town = f"{fact.town}, {fact.country}"
    if fact.town_km < 3:
        return f"at {town}"
    return f"{round(fact.town_km)} km {_POINTS[round(fact.town_bearing / 22.5) % 16]} of {town}"


def terrain(fact: Fact) -> str:
    """Altitude and form of the land; empty on ice sheets, whose altitude the relief map does not show."""
    height, form = altitude_words(fact.altitude_m), _form(fact.ruggedness_m)
    return f"{height} in {form} country" if height else ""


def altitude_words(metres: float) -> str:
    """Altitude as finely as it is known (see :mod:`geobind_world.relief`)."""
    if math.isnan(metres):
        return ""
    if metres < 150:
        return "lowland below 200 m"
    if metres < 1400:
        step = 100 if metres < 400 else 250
        return f"land at about {step * round(metres / step):,} m"
    if metres < 2700:
        return "highland of roughly 1,400 to 2,700 m"
    return f"high land at about {500 * round(metres / 500):,} m"


def sea(fact: Fact) -> str:
    """How far the sea is."""
    km = fact.coast_km
    if km < 25:
        return "on the coast"
    if km < 100:
        return "near the coast"
    if km < 400:
        return f"{50 * round(km / 50)} km from the sea"
    return f"far inland, {100 * round(km / 100):,} km from the sea"


def latitude(lat: float) -> str:
    """``"23° south"``."""
    return f"{abs(round(lat))}° {'north' if lat >= 0 else 'south'}"


def _form(ruggedness_m: float) -> str:
    for limit, word in ((20, "flat"), (60, "gently rolling"), (150, "hilly"), (350, "rugged")):
        if ruggedness_m < limit:
            return word
    return "mountainous"


def _pick(rng: np.random.Generator, *options: str) -> str:
    return options[int(rng.integers(len(options)))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
