"""Merging spaces: the ends to the bit, what lies between by hand, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import geobind
from geobind.bind.binder import bind
from geobind.errors import SpaceError
from geobind.plan import load_plan
from geobind.plugins import get_plugins
from geobind.space.merge import between, merge
from geobind.space.records import read_record

FROZEN = "stages.b.train=modality"
"""The anchor stays what it is in both."""


@pytest.fixture(scope="module")
def spaces(tmp_path_factory):
    """Spaces that were bound already, by what was laid over the recipe."""
    return tmp_path_factory.mktemp("spaces"), {}


@pytest.fixture
def bound(spaces, toy_recipe, write_recipe):
    """A space of the toy recipe with ``sets`` laid over it; it is not to be changed."""
    folder, known = spaces

    def make(*sets, stages=("b", "c")):
        if (key := (*sets, *stages)) not in known:
            plan = load_plan(str(write_recipe(toy_recipe)), get_plugins(), ["defaults.optim.epochs=1", *sets])
            known[key] = folder / f"space{len(known)}"
            bind(plan, [plan.stage(name) for name in stages], space=known[key], runs=folder / "runs")
        return known[key]

    return make


@pytest.fixture
def two(bound):
    """Two spaces of one start, whose anchors learnt different things."""
    return bound(), bound("defaults.optim.lr=0.05")


def weights(space):
    return {name: load_file(space / tower.file) for name, tower in read_record(space).towers.items()}


# -- the sum --------------------------------------------------------------------------------------


def test_between_by_hand():
    a, b = torch.tensor([1.0, -0.0, 3.0]), torch.tensor([2.0, 5.0, 3.0])
    assert between(a, b, 0.25).tolist() == [1.25, 1.25, 3.0]
    assert torch.equal(between(a, b, 0.0).view(torch.int32), a.view(torch.int32)), "the sign of zero stays"
    assert between(a, b, 1.0) is b
    counts = torch.tensor(3), torch.tensor(8)
    assert [between(*counts, alpha).item() for alpha in (0, 0.1, 1)] == [3, 8, 8]
    half = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    assert between(half, 3 * half, 0.5).dtype == torch.bfloat16


def test_what_is_equal_stays_to_the_bit():
    x = torch.randn(1000, dtype=torch.float64)
    for alpha in np.random.default_rng(0).uniform(size=10):
        assert torch.equal(between(x, x.clone(), alpha), x)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_are_the_spaces_to_the_bit(two, tmp_path, alpha):
    merged = merge(*two, alpha, tmp_path / "m")
    end = read_record(two[int(alpha)])
    assert merged.fingerprint == end.fingerprint and not merged.stale
    assert {n: t.sha256 for n, t in merged.towers.items()} == {n: t.sha256 for n, t in end.towers.items()}
    items = [np.arange(6) / 6, np.ones(6)]
    spaces = [geobind.load(path) for path in (two[int(alpha)], tmp_path / "m")]
    for name in end.towers:
        assert np.array_equal(*(space.encode(name, items) for space in spaces))


def test_halfway_is_the_mean_and_says_so(two, tmp_path):
    before = [weights(path) for path in two]
    merged = merge(*two, 0.5, tmp_path / "m")
    for name, found in weights(tmp_path / "m").items():
        for key, value in found.items():
            x, y = (own[name][key] for own in before)
            wanted = (0.5 * x.double() + 0.5 * y.double()).float() if x.is_floating_point() else y
            assert torch.equal(value, wanted), key
        ends = [read_record(path).towers[name] for path in two]
        own = merged.towers[name]
        assert (own.merged.a, own.merged.b, own.merged.alpha) == (ends[0].fingerprint, ends[1].fingerprint, 0.5)
        assert own.bound_to == merged.fingerprint
        assert {*ends[0].lineage, *ends[1].lineage, own.sha256[:16]} == {*own.lineage}
    assert {file.name for file in (tmp_path / "m" / "towers").iterdir()} == {
        tower.file.removeprefix("towers/") for tower in merged.towers.values()
    }
    how = merged.towers["toy_b"].merged
    assert f"toy_b is 0.5 · `{how.a}` + 0.5 · `{how.b}`" in (tmp_path / "m" / "README.md").read_text()
    assert read_record(tmp_path / "m") == merged


def test_batch_norms_are_told(two, tmp_path, capsys):
    merge(*two, 0.5, tmp_path / "m")
    assert "toy_c: running statistics of batch norms are interpolated" in capsys.readouterr().err
    merge(*two, 1, tmp_path / "n")
    assert "running statistics" not in capsys.readouterr().err


# -- what is merged, and what is not --------------------------------------------------------------


def test_an_anchor_that_is_the_same_is_kept_and_other_towers_come_along(bound, tmp_path):
    """One space lacks toy_c: that of the other goes in, with its stage."""
    a = bound(FROZEN, "stages.b.optim.lr=0.05", stages=("b",))
    b = bound(FROZEN)
    lone = json.loads((a / "space.json").read_text())
    lone["recipe"]["stages"] = lone["recipe"]["stages"][:1]
    shutil.copytree(a, tmp_path / "a")
    (tmp_path / "a" / "space.json").write_text(json.dumps(lone))
    merged = merge(tmp_path / "a", b, 0.5, tmp_path / "m")
    assert merged.fingerprint == read_record(a).fingerprint == read_record(b).fingerprint
    assert merged.towers["toy_a"] == read_record(a).towers["toy_a"] and merged.towers["toy_b"].merged is not None
    assert merged.towers["toy_c"] == read_record(b).towers["toy_c"] and not merged.stale
    assert [stage["name"] for stage in merged.recipe["stages"]] == ["b", "c"]
    assert geobind.load(tmp_path / "m").encode("toy_c", [np.ones(6)]).shape == (1, 8)


def test_only_what_is_named_is_merged(bound, tmp_path):
    a, b = bound(FROZEN), bound(FROZEN, "defaults.optim.lr=0.05")
    merged = merge(a, b, 0.5, tmp_path / "m", ["toy_c"])
    was = read_record(a).towers
    assert merged.towers["toy_b"] == was["toy_b"] and merged.towers["toy_c"].sha256 != was["toy_c"].sha256
    with pytest.raises(SpaceError, match="'toy_d' is no tower of both"):
        merge(a, b, 0.5, tmp_path / "n", ["toy_d"])


def test_a_merged_anchor_leaves_the_others_stale(two, tmp_path, capsys):
    merged = merge(*two, 0.5, tmp_path / "m", ["toy_a", "toy_b"])
    assert merged.stale == ("toy_c",)
    assert f"stale in {tmp_path / 'm'}: toy_c; bind them again" in capsys.readouterr().err
    with pytest.raises(SpaceError, match="the anchors differ.*--towers toy_a,toy_b"):
        merge(*two, 0.5, tmp_path / "n", ["toy_b"])
    with pytest.raises(SpaceError, match="toy_c tower is stale"):
        merge(tmp_path / "m", two[0], 0.5, tmp_path / "n")


def test_a_merged_space_is_of_the_ancestry_of_both(two, tmp_path):
    merge(*two, 0.5, tmp_path / "m")
    again = merge(tmp_path / "m", two[0], 0.5, tmp_path / "n")
    x, y, z = (weights(path)["toy_b"]["head.1.weight"].double() for path in (*two, tmp_path / "n"))
    torch.testing.assert_close(z, 0.75 * x + 0.25 * y, atol=1e-6, rtol=0)
    assert not again.stale


def test_what_a_stage_went_on_from_is_its_ancestor(bound, toy_recipe, write_recipe, tmp_path):
    """A copy is trained on, from other initial weights in the recipe: the copy has a common state all the same."""
    start = bound(FROZEN)
    shutil.copytree(start, tmp_path / "on")
    toy_recipe["stages"].append({**toy_recipe["stages"][1], "name": "more", "seed": 9})
    plan = load_plan(str(write_recipe(toy_recipe)), get_plugins(), ["defaults.optim.epochs=1", FROZEN])
    bind(plan, [plan.stage("more")], space=tmp_path / "on", runs=tmp_path / "runs")
    lineages = [read_record(path).towers["toy_c"].lineage for path in (start, tmp_path / "on")]
    assert lineages[1][:-1] == lineages[0] and len(lineages[0]) == 2
    assert merge(start, tmp_path / "on", 0.5, tmp_path / "m").towers["toy_c"].stages == ("c", "more")


# -- towers that modalities share -----------------------------------------------------------------


@pytest.fixture
def shared(toy_recipe):
    """Have the recipe's two modalities share one tower."""
    toy_recipe["defaults"] |= {"tower": "both", "encoder": {"type": "toy_both"}, "train": "modality"}
    for stage in toy_recipe["stages"]:
        del stage["encoder"], stage["train"]
    return "stages.b.note=shared"


def test_a_shared_tower_is_merged_once(bound, shared, tmp_path):
    """The one space holds it after its first stage, with toy_b alone; the other after toy_c has trained it too."""
    early, late = bound(shared, stages=("b",)), bound(shared)
    merged = merge(early, late, 0.3, tmp_path / "m", ["toy_b"])
    b, c = merged.towers["toy_b"], merged.towers["toy_c"]
    assert b.file == c.file and (b.tower, c.tower) == ("both", "both") and b.lineage == c.lineage
    assert (b.stages, c.bound.stage, merged.stale) == (("b", "c"), "c", ())
    assert len(list((tmp_path / "m" / "towers").iterdir())) == 2
    x, y, z = (weights(path)["toy_b"]["head.1.weight"] for path in (early, late, tmp_path / "m"))
    assert torch.equal(z, between(x, y, 0.3))
    space = geobind.load(tmp_path / "m")
    assert space.tower("toy_c") is space.tower("toy_b")
    back = merge(late, early, 0.7, tmp_path / "n").towers
    assert back["toy_b"].file == back["toy_c"].file and back["toy_c"].bound == c.bound
    torch.testing.assert_close(weights(tmp_path / "n")["toy_b"]["head.1.weight"], z)


def test_towers_shared_in_one_space_alone_are_refused(bound, shared, tmp_path):
    one, other = bound(shared), tmp_path / "other"
    shutil.copytree(one, other)
    values = json.loads((other / "space.json").read_text())
    values["towers"]["toy_c"]["tower"] = ""
    (other / "space.json").write_text(json.dumps(values))
    with pytest.raises(SpaceError, match="toy_b and toy_c share a tower in one of the spaces alone"):
        merge(one, other, 0.5, tmp_path / "m")


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "match"),
    [
        (["stages.c.seed=3"], r"toy_c towers have no ancestor in common: their weights began as \w+ \(random\)"),
        (["stages.c.encoder.width=24"], "toy_c towers differ in their encoder: width = 16 and width = 24 "),
        (["stages.c.head={type: linear}"], "toy_c towers differ in their head: type = 'mlp'.* and type = 'linear'"),
        (["space.dim=4"], "differ in their dimensions: 8 and 4"),
        (["stages.b.seed=3"], "toy_a towers have no ancestor"),
    ],
)
def test_what_lies_on_no_line_is_refused(bound, tmp_path, sets, match):
    with pytest.raises(SpaceError, match=match):
        merge(bound(FROZEN), bound(FROZEN, *sets), 0.5, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_other_refusals(bound, tmp_path):
    a, b = bound(FROZEN), bound(FROZEN, "defaults.optim.lr=0.05")
    with pytest.raises(SpaceError, match="alpha = 1.5"):
        merge(a, b, 1.5, tmp_path / "m")
    with pytest.raises(SpaceError, match="there is a space already"):
        merge(a, b, 0.5, b)
    with pytest.raises(SpaceError, match="no tower to merge is named. Both spaces hold: toy_a, toy_b, toy_c"):
        merge(a, b, 0.5, tmp_path / "m", [])
    partial = tmp_path / "partial"
    shutil.copytree(a, partial)
    (partial / read_record(a).towers["toy_a"].file).unlink()
    with pytest.raises(SpaceError, match="tower file .* is missing"):
        merge(partial, b, 0.5, tmp_path / "m")
    old = tmp_path / "old"
    shutil.copytree(b, old)
    values = json.loads((old / "space.json").read_text())
    for tower in values["towers"].values():
        del tower["lineage"]
    (old / "space.json").write_text(json.dumps(values))
    with pytest.raises(SpaceError, match="what a toy_b tower began from is not known"):
        merge(a, old, 0.5, tmp_path / "m")
    shutil.copytree(a, tmp_path / "other")
    text = (tmp_path / "other" / "space.json").read_text().replace('"anchor": "toy_a"', '"anchor": "toy_b"')
    (tmp_path / "other" / "space.json").write_text(text)
    with pytest.raises(SpaceError, match="differ in their anchor: toy_a and toy_b"):
        merge(a, tmp_path / "other", 0.5, tmp_path / "m")
