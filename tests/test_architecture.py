"""Imports point down, wings do not know each other, and listing stays light."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = [
    {"__main__"},
    {"cli"},
    {"studies"},
    {"bind", "evaluate", "authoring"},
    {"features", "ranks"},
    {"space"},
    {"plan"},
    {"config", "plugins", "yamlfile"},
    {"data"},
    {"loss"},
    {"builtin", "encoder", "weights", "files", "palette", "progress"},
    {"hookspecs"},
    {"modality"},
    {"errors"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {"torch", "torchvision", "torchmetrics", "numpy", "open_clip", "timm", "PIL", "pyarrow", "scipy"}


def imports(path: Path, *, top_level_only=False):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "geobind" and len(parts) > 1 else None


FILES = sorted((ROOT / "geobind").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    room = path.relative_to(ROOT / "geobind").parts[0].removesuffix(".py")
    if room == "__init__":
        return  # the public names, loaded lazily
    for module in imports(path):
        other = room_of(module)
        if other is None or other == room:
            continue
        assert FLOOR_OF[other] > FLOOR_OF[room], f"{room} imports {other}"


def test_every_room_has_a_floor():
    rooms = {path.relative_to(ROOT / "geobind").parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert rooms == set(FLOOR_OF)


@pytest.mark.parametrize("init", sorted(ROOT.glob("plugins/*/geobind_*/__init__.py")), ids=lambda p: p.parent.name)
def test_a_plugin_imports_nothing_heavy_until_it_is_built(init):
    assert not {module.split(".")[0] for module in imports(init, top_level_only=True)} & HEAVY


def test_hookspecs_stay_short():
    assert len((ROOT / "geobind/hookspecs.py").read_text().splitlines()) < 100
