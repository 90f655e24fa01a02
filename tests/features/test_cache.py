"""The cache of features: computed once, found by content, never stale; killed, shared, or out of disk."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import geobind
from geobind.data import content
from geobind.data.items import Items
from geobind.errors import DataError, GeobindError, PluginError
from geobind.features.cache import FeatureCache, _blocks
from geobind.features.identity import identity
from geobind.features.store import listed
from geobind.space.embed import embed
from geobind.weights import file_sha256

SCRIPT = Path(__file__).with_name("extraction.py")


class Counting(geobind.Encoder):
    """Takes vectors, or files that hold one; knows what it was asked."""

    embed_dim, throughput_batch = 5, 4

    def __init__(self, seed=0, scale=1.0, activation=torch.nn.Tanh):
        super().__init__()
        torch.manual_seed(seed)
        self.scale = scale
        self.net = torch.nn.Sequential(torch.nn.Linear(3, 16), activation(), torch.nn.Linear(16, 5))
        self.register_buffer("shift", torch.zeros(5), persistent=False)
        self.rows = 0
        self.asked = Counter()

    def preprocess(self, item, *, train, generator=None):
        if isinstance(item, Path):
            self.asked[item.name] += 1
            try:
                item = json.loads(item.read_text())
            except (OSError, ValueError) as error:
                raise DataError(f"{item.name} cannot be read: {type(error).__name__}") from error
        x = torch.tensor(item) * self.scale
        return {"x": x + torch.randn(3, generator=generator) if train else x}

    def forward(self, batch):
        self.rows += len(batch["x"])
        return self.net(batch["x"]) + self.shift

    def describe_preprocessing(self):
        return {"scale": self.scale}


def vectors(numbers, modality="toy"):
    values = [[float(n), 1.0, -0.1 * n] for n in numbers]
    keys = np.array([f"v{n}" for n in numbers], dtype=np.str_)
    return Items(modality, values.__getitem__, keys, keys)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files that hold vectors, and count as having come to rest."""
    monkeypatch.setattr(content, "SETTLED_NS", -(10**12))
    for n in range(6):
        (tmp_path / f"{n}.json").write_text(json.dumps([float(n), 0.5, 0.25]))
    return tmp_path


def files(folder, names=range(6)):
    paths = [folder / f"{name}.json" for name in names]
    keys = np.array([str(path) for path in paths])
    return Items("toy", paths.__getitem__, keys, keys, files=True)


def everything(features):
    return features.gather(np.arange(len(features)))


def computed(cache, encoder, items, **options):
    """Features, and the rows the encoder computed for them."""
    before = encoder.rows
    features = cache.features(encoder, items, **options)
    return features, encoder.rows - before


# -- hits and misses ------------------------------------------------------------------------------


def test_features_are_the_encoders_own_bit_for_bit_and_computed_once(cache, tmp_path):
    encoder = Counting()
    features, rows = computed(cache, encoder, vectors(range(100)))
    assert rows == 100 and (len(features), features.width, features.unreadable) == (100, 5, {})
    plain = embed(encoder, vectors(range(100)), encoder)
    assert np.array_equal(everything(features).numpy(), plain)
    some = np.random.default_rng(0).integers(100, size=300)
    out = features.gather(some)
    assert np.array_equal(out.numpy(), plain[some]) and out.dtype == torch.float32
    out += 1  # the caller's own
    assert np.array_equal(features.gather(some).numpy(), plain[some])
    for again in (cache, FeatureCache(tmp_path / "cache")):
        features, rows = computed(again, Counting(), vectors(range(99, -1, -1)))
        assert rows == 0 and np.array_equal(everything(features).numpy(), plain[::-1])


def test_each_content_once_and_only_what_is_new(cache):
    encoder = Counting()
    features, rows = computed(cache, encoder, vectors([3, 1, 3, 3, 2, 1]))
    assert rows == 3 and torch.equal(everything(features)[0], everything(features)[3])
    features, rows = computed(cache, encoder, vectors([9, 3, 2, 8, 9]))
    assert rows == 2
    expected = embed(encoder, vectors([9, 3, 2, 8, 9]), encoder)
    np.testing.assert_allclose(everything(features), expected, rtol=1e-5, atol=1e-6)
    assert computed(cache, encoder, vectors([9, 3], "another"))[1] == 2


def test_no_items_are_no_work(cache):
    features, rows = computed(cache, Counting(), vectors([]))
    assert rows == len(features) == 0 and features.gather(np.empty(0, dtype=np.int64)).shape == (0, 5)
    assert not cache.folder.exists()


def test_it_is_in_evaluation_mode_and_leaves_inference_mode(cache):
    encoder = Counting().train()
    out = everything(cache.features(encoder, vectors(range(3))))
    assert not encoder.training and not torch.is_inference_mode_enabled() and not out.is_inference()


def test_progress_says_what_is_computed_and_nothing_when_nothing_is(cache, capsys):
    for _ in range(2):
        cache.features(Counting(), vectors(range(50)), view=1)
    assert capsys.readouterr().err.count("features of toy, view 1: 50 items") == 1


def test_a_temporary_cache_is_gone_when_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache = FeatureCache.temporary()
    features = cache.features(Counting(), vectors(range(3)))
    assert len(list(tmp_path.iterdir())) == 1
    del cache
    assert not list(tmp_path.iterdir()) and everything(features).shape == (3, 5)


# -- never stale ----------------------------------------------------------------------------------


def with_(change):
    encoder = Counting()
    with torch.no_grad():
        change(encoder)
    return encoder


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: Counting(seed=1), id="weights"),
        pytest.param(lambda: with_(lambda e: e.net[2].bias.data[0].add_(1e-7)), id="one weight, by its data"),
        pytest.param(lambda: with_(lambda e: e.shift.add_(1)), id="buffer that is not saved"),
        pytest.param(lambda: Counting(scale=2.0), id="preprocessing"),
        pytest.param(lambda: Counting(activation=torch.nn.ReLU), id="module without weights"),
        pytest.param(lambda: type("Other", (Counting,), {})(), id="class"),
        pytest.param(lambda: Counting().double(), id="precision"),
    ],
)
def test_whatever_changes_features_changes_the_identity(cache, other):
    assert identity(Counting()) == identity(Counting()) != identity(other())
    if other().net[0].weight.dtype == torch.float32:
        cache.features(Counting(), vectors(range(5)))
        features, rows = computed(cache, encoder := other(), vectors(range(5)))
        assert rows == 5 and np.array_equal(everything(features).numpy(), embed(encoder, vectors(range(5)), encoder))
        assert computed(cache, Counting(), vectors(range(5)))[1] == 0  # and back again


def test_identity_knows_the_code_of_the_encoder_and_no_addresses(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(line):
        (tmp_path / "an_encoder.py").write_text(
            "import torch, geobind\n"
            "class Mine(geobind.Encoder):\n"
            "    embed_dim = 1\n"
            "    def extra_repr(self): return repr(object())\n"
            f"    def forward(self, batch): {line}\n"
        )
        sys.modules.pop("an_encoder", None)
        return identity(__import__("an_encoder").Mine())

    assert make("return batch['x']") == make("return batch['x']") != make("return -batch['x']")


def test_a_changed_file_is_computed_anew_and_it_alone(cache, folder):
    encoder = Counting()
    before = everything(cache.features(encoder, files(folder)))
    path = folder / "2.json"
    stat = path.stat()
    path.write_text(json.dumps([9.0, 0.5, 0.25]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    encoder.asked.clear()
    after = everything(cache.features(encoder, files(folder)))
    assert encoder.asked == {"2.json": 1}
    assert (after != before).any(dim=1).tolist() == [False, False, True, False, False, False]
    path.rename(folder / "7.json")  # the same content elsewhere
    features, rows = computed(cache, encoder, files(folder, [7, 0]))
    assert rows == 0 and torch.equal(everything(features), after[[2, 0]])


def test_a_file_that_changes_while_it_is_embedded_is_not_kept(cache, folder):
    class Meddled(Counting):
        def forward(self, batch):
            if self.scale:
                (folder / "3.json").write_text(json.dumps([8.0, 8.0, 8.0]))
            return super().forward(batch)

    with pytest.raises(DataError, match="3.json' changed while its features were computed"):
        cache.features(encoder := Meddled(), files(folder))
    encoder.forward = super(Meddled, encoder).forward
    features, rows = computed(cache, encoder, files(folder))
    assert rows == 6
    np.testing.assert_array_equal(everything(features), embed(encoder, files(folder), encoder))


def test_views_depend_on_their_number_and_the_content_alone(cache, tmp_path):
    encoder = Counting()
    plain, one, two = (everything(cache.features(encoder, vectors(range(40)), view=view)) for view in range(3))
    assert not (torch.isclose(plain, one).all(dim=1) | torch.isclose(one, two).all(dim=1)).any()
    assert computed(cache, encoder, vectors(range(40)), view=2)[1] == 0
    other = everything(FeatureCache(tmp_path / "other").features(encoder, vectors([30, 7]), view=1))
    torch.testing.assert_close(other, one[[30, 7]])


# -- items that cannot be read --------------------------------------------------------------------


def test_unreadable_items_are_named_and_the_others_kept(cache, folder):
    (folder / "1.json").write_text("{")
    (folder / "4.json").write_text("{")  # the same content under another name
    encoder = Counting()
    features, rows = computed(cache, encoder, files(folder, [0, 1, 2, 3, 4, 99]))
    assert rows == 3 and features.unreadable == {
        1: "1.json cannot be read: JSONDecodeError.",
        4: "4.json cannot be read: JSONDecodeError.",
        5: "99.json cannot be read: FileNotFoundError.",
    }
    assert torch.isfinite(features.gather(np.array([0, 2, 3]))).all()
    with pytest.raises(DataError, match=r"item 4 has no features: 4\.json cannot be read"):
        features.gather(np.array([0, 4]))
    (folder / "4.json").write_text("[1, 2, 3]")  # mended
    features, rows = computed(cache, encoder, files(folder, [0, 1, 2, 3, 4]))
    assert rows == 1 and list(features.unreadable) == [1]


def test_nothing_but_unreadable_items(cache, folder):
    features = cache.features(Counting(), files(folder, [98, 99]))
    assert sorted(features.unreadable) == [0, 1] and len(features) == 2


def test_a_wrong_width_is_told(cache):
    encoder = Counting()
    encoder.embed_dim = 7
    with pytest.raises(PluginError, match=r"Counting says embed_dim 7, but gives features \(3, 5\)"):
        cache.features(encoder, vectors(range(3)))


# -- blocks ---------------------------------------------------------------------------------------


def test_blocks_left_over_are_those_of_before_though_some_items_of_the_done_ones_were_unreadable():
    digests = np.stack([np.arange(100, dtype=np.uint64) // 2 + 1] * 2, axis=1)  # 50 contents
    at = np.full(100, -1)
    whole = _blocks(digests, at, 8, 0, 1)
    assert np.concatenate(whole).tolist() == [*range(0, 100, 2)] and [len(b) for b in whole] == [8] * 6 + [2]
    for done in range(1, 7):
        for block in whole[:done]:
            rows = block[1:]  # one of each could not be read
            at[np.isin(digests[:, 0], digests[rows, 0])] = 0
        pooled, *rest = _blocks(digests, at, 8, 0, 1)
        assert pooled.tolist() == [block[0] for block in whole[:done]]
        assert all(np.array_equal(a, b) for a, b in zip(rest, whole[done:], strict=True))
    assert _blocks(digests, np.zeros(100), 8, 0, 1) == []


@pytest.mark.parametrize("parts", [2, 3, 10])
def test_parts_share_all_blocks_whatever_is_on_disk_by_now(parts):
    digests = np.stack([np.arange(50, dtype=np.uint64) + 1] * 2, axis=1)
    at = np.full(50, -1)
    shares = [_blocks(digests, at, 8, part, parts) for part in range(parts)]
    whole = _blocks(digests, at, 8, 0, 1)
    assert sorted(b.tolist() for share in shares for b in share) == [b.tolist() for b in whole]
    late = at.copy()
    late[shares[0][0]] = 0  # one part looks after another has written
    assert all(np.array_equal(a, b) for a, b in zip(_blocks(digests, late, 8, 1, parts), shares[1], strict=True))


@pytest.mark.parametrize("bad", [None, 70])
def test_ranks_share_the_work_and_all_have_all(tmp_path, monkeypatch, bad):
    """Ranks as threads; results are those of one rank, bit for bit, and each file's content is read by one of them."""
    monkeypatch.setattr(content, "SETTLED_NS", -(10**12))
    read = []
    monkeypatch.setattr(content, "file_sha256", lambda path: read.append(path) or file_sha256(path))
    for n in range(100):
        (tmp_path / f"{n}.json").write_text("{" if n == bad else json.dumps([float(n), 0.5, 0.25]))
    items = files(tmp_path, range(100))
    barrier = threading.Barrier(2)
    encoders, out = [Counting(), Counting()], {}

    def work(rank):
        cache = FeatureCache(tmp_path / "cache")
        out[rank] = cache.features(encoders[rank], items, rank=rank, world=2, barrier=lambda: barrier.wait(30))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(read) == 100
    good = np.array([n for n in range(100) if n != bad])
    expected = FeatureCache(tmp_path / "other").features(Counting(), items).gather(good)
    assert [encoder.rows for encoder in encoders] == ([64, 36] if bad is None else [63, 36])
    for rank in range(2):
        assert torch.equal(out[rank].gather(good), expected)
        assert list(out[rank].unreadable) == ([] if bad is None else [bad])


def test_a_rank_that_sees_none_of_the_others_features_computes_them(tmp_path):
    """For example because the folder is on a disk of its own machine."""
    encoder = Counting()
    features, rows = computed(FeatureCache(tmp_path), encoder, vectors(range(100)), rank=1, world=2)
    assert rows == 100 and np.array_equal(everything(features).numpy(), embed(encoder, vectors(range(100)), encoder))


def test_a_cache_cleared_under_the_work_is_told(cache):
    class Clearing(Counting):
        def forward(self, batch):
            for store in listed(cache.folder):
                store.remove()
            return super().forward(batch)

    with pytest.raises(GeobindError, match="gone that were just computed .*The cache was cleared"):
        cache.features(Clearing(), vectors(range(100)))


def test_no_room_is_told_from_the_first_byte_on(cache, folder, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GeobindError, match=r"no space is left for features in .*: 0\.0 MB"):
        cache.features(Counting(), files(folder))
    monkeypatch.undo()
    assert computed(cache, Counting(), files(folder))[1] == 6


def test_a_cache_that_may_only_be_read_still_serves(cache, monkeypatch):
    cache.features(Counting(), vectors(range(5)))

    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("open", "utime", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    assert computed(cache, Counting(), vectors(range(5)))[1] == 0
    with pytest.raises(GeobindError, match="features cannot be written to .*: Permission denied"):
        cache.features(Counting(), vectors(range(9)))


# -- real processes -------------------------------------------------------------------------------


def test_killed_torn_shared_and_full_extractions(tmp_path):
    """One process that imports torch and forks the victims; see the script for what each does."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    total, block = results["total"], results["block"]
    assert results["whole"]["computed"] == total
    moments = results["killed"]
    assert len(moments) >= 10
    for moment, result in moments.items():
        kept = result["kept"]
        assert result["killed"] == -9, moment
        assert kept % block == 0 and kept <= result["computed_before"] <= kept + block, moment
        assert result["computed_after"] == total - kept, moment
        assert result["equal"], moment
    assert {result["kept"] for result in moments.values()} == {0, block, 2 * block, 3 * block}
    for result in results["together"]:
        assert result["equal"]
    full = results["full"]
    assert "no space is left for features" in full["message"] and "geobind cache clear" in full["message"]
    assert f"{(total - full['kept']) * results['width'] * 4 / 1e6:,.1f} MB" in full["message"]
    assert full["kept"] == 2 * block and full["computed_after"] == total - 2 * block and full["equal"]
