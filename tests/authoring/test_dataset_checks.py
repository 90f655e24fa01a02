"""Each way in which a dataset can be broken is told by one check, and a sound one passes."""

from __future__ import annotations

import pytest

from geobind.authoring.checks.subjects import DatasetSubject

SLOW = {"fingerprint_is_stable", "order_is_stable"}
"""Start a process: asked for where they are what the mutant is about."""


def test_a_sound_dataset_fails_nothing(failing):
    assert failing(DatasetSubject) == {}


OWN = 'own = [row for row in rows if row["split"] == split]'
PLACE = "place=np.array(ids, dtype=str)"
KEY = 'key=np.array([f"{name}-{config.scale}" for name in ids], dtype=str)'
LEVELS = "    return levels * np.float32(config.scale)"
HASH = 'return hashlib.sha256(b"\\n".join([repr(config.scale).encode(), *parts])).hexdigest()[:16]'
UNKNOWN = 'raise geobind.DataError(f"there is no {modality!r}", fix="Known: tide, harbour.")'
REFUSED = 'raise geobind.DataError(f"{str(path)!r} cannot be read: {error}", fix=fix) from error'
READ = "rows = list(csv.DictReader(table.read_text(encoding="
EMPTY = 'raise geobind.DataError("the table is empty", where=str(table), fix=fix)'

MUTANTS = {
    "a builder that gives something else": (
        "example_can_be_built",
        "gives a Harbours",
        (
            "class Harbours(geobind.Dataset):",
            "class Harbours:\n        listed_pairs = lambda *asked: None\n        skipped = lambda self: []",
        ),
    ),
    "more modalities than promised": (
        "modalities_are_as_promised",
        "holds tide, harbour, and its spec promises tide",
        ('modalities=("tide", "harbour"),\n            summary', 'modalities=("tide",),\n            summary'),
    ),
    "all places in train": (
        "splits_hold_items",
        "no items in val and test",
        ('["train"] * 4 + ["val", "test"]', '["train"] * 6'),
    ),
    "places that are numbers": (
        "columns_are_of_their_types",
        "`place` of tide in train has the type int64",
        (PLACE, "place=np.array([int(name[1:]) for name in ids])"),
    ),
    "coordinates of single precision": (
        "columns_are_of_their_types",
        "`lat_lon` of tide in train has the type float32",
        ('dtype="float64").reshape', 'dtype="float32").reshape'),
    ),
    "keys that are no files": (
        "columns_are_of_their_types",
        "is no file",
        (PLACE, f"{PLACE}, files=True"),
    ),
    "latitude and longitude swapped": (
        "coordinates_lie_on_earth",
        "has the latitude -170 and the longitude -20. Are the two swapped",
        ('(row["lat"], row["lon"]) for', '(row["lon"], row["lat"]) for'),
    ),
    "a latitude alone": (
        "coordinates_lie_on_earth",
        "longitude nan. Give both",
        ('(row["lat"], row["lon"]) for', '(row["lat"], "nan") for'),
    ),
    "an item that fails": (
        "items_can_be_loaded",
        "item 1 of harbour in train cannot be loaded: ZeroDivisionError",
        ('return f"Port {ids[index]}"', 'return f"Port {ids[index] if index != 1 else 1 / 0}"'),
    ),
    "an item of NaN": (
        "items_are_finite",
        "item 2 of tide in train holds a NaN",
        (LEVELS, '    return levels * np.float32("nan" if index == 2 else config.scale)'),
    ),
    "items of two types": (
        "items_suit_an_encoder",
        "tide items become samples of several kinds",
        (LEVELS, "    return levels * (np.float32 if index % 2 else np.float64)(config.scale)"),
    ),
    "items that the encoder refuses": (
        "items_suit_an_encoder",
        "Letters refuses item 0 of harbour in train: no text",
        (
            'return f"Port {ids[index]}"',
            "return index",
            'return {"letters"',
            "if not isinstance(item, str):\n"
            '                raise geobind.DataError("no text")\n'
            '            return {"letters"',
        ),
    ),
    "one key for all": (
        "equal_keys_are_equal_items",
        "have the key 'train', and differ",
        (KEY, "key=np.array([split for name in ids], dtype=str)"),
    ),
    "a place in two splits": (
        "no_place_is_in_two_splits",
        "place 'h0' has tide items in train and tide items in val",
        (OWN, f"{OWN[:-1]} or (split, row['id']) == ('val', 'h0')]", KEY, KEY.replace("{name}-", "{split}-{name}-")),
    ),
    "a content in two splits": (
        "no_content_is_in_two_splits",
        "key 'h0' has tide items in train and tide items in test",
        (
            KEY,
            'key=np.array([name.replace("h5", "h0") for name in ids])',
            "path = config.root",
            'ids = [name.replace("h5", "h0") for name in ids]\n    path = config.root',
            'return f"Port {ids[index]}"',
            'return f"Port {ids[index]}".replace("h5", "h0")',
        ),
    ),
    "no word on origins": ("origins_are_told", "origin('tide', 'harbour') is ' '", ('"made up for tests"', '" "')),
    "modalities at other places": (
        "modalities_pair_up",
        "tide pairs with nothing: no pairs of tide and harbour in the split 'train'",
        (PLACE, 'place=np.array([f"{modality}-{name}" for name in ids], dtype=str)'),
    ),
    "a closure as loader": (
        "items_pickle_to_workers",
        "tide items in train cannot be pickled",
        ("load=loaders[modality]", "load=lambda index: loaders[modality](index)"),
    ),
    "a KeyError for an unknown modality": (
        "unknown_modality_is_told",
        "KeyError",
        (UNKNOWN, "raise KeyError(modality)"),
    ),
    "an unknown modality that is empty": (
        "unknown_modality_is_told",
        "is answered",
        (UNKNOWN, "return self.items('tide', 'no split')"),
    ),
    "an error without a remedy": (
        "unknown_modality_is_told",
        "gives no remedy: there is no 'no_such_modality'.",
        (UNKNOWN, 'raise geobind.DataError(f"there is no {modality!r}")'),
    ),
    "a fingerprint of the config alone": (
        "fingerprint_follows_the_data",
        "whatever is changed, the fingerprint is",
        (", *parts]", "]"),
    ),
    "a file that is opened without a look": (
        "missing_files_are_told",
        "harbours.csv is missing, and it raises FileNotFoundError",
        ('raise geobind.DataError("there is no table", where=str(table), fix=fix)', "pass"),
    ),
    "an empty table that is taken for no places": (
        "empty_files_are_told",
        "harbours.csv is empty, and it says nothing: 12 items become 0",
        (EMPTY, "pass"),
    ),
    "an empty file that is taken for zeros": (
        "empty_files_are_told",
        "h0.npy is empty, and it says nothing",
        (
            "    try:\n        levels",
            "    if path.is_file() and not path.stat().st_size:\n        return np.zeros(4)\n    try:\n        levels",
        ),
    ),
    "bytes that are read as text": (
        "garbage_files_are_told",
        "harbours.csv holds random bytes, and it raises UnicodeDecodeError",
        ("    except ValueError as error:\n", "    except KeyError as error:\n"),
    ),
    "half a file that is filled up": (
        "truncated_files_are_told",
        "h0.npy is cut in half, and an item holds a NaN",
        (
            REFUSED,
            'if path.is_file() and b"NUMPY" in path.read_bytes()[:8]:\n'
            "            return np.full(4, np.nan)\n"
            f"        {REFUSED}",
        ),
    ),
    "rows that may be given twice": (
        "repeated_rows_are_told",
        "harbours.csv holds each row twice, and 12 items become 24",
        ("if len({row", "if 0 > len({row"),
    ),
}
"""What is wrong → the check that tells, its words, and what is written in the place of what."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_wrong_with_a_dataset_is_told(failing, mutant):
    check, words, changes = MUTANTS[mutant]
    found = failing(DatasetSubject, *zip(changes[::2], changes[1::2], strict=True), leave_out=SLOW)
    assert found.keys() == {check}
    assert words in found[check]


@pytest.mark.parametrize(
    ("check", "words", "changes"),
    [
        ("fingerprint_is_stable", "in another process", [(HASH, "return str(hash(tuple(map(str, parts))))")]),
        (
            "fingerprint_is_stable",
            "when it is built again",
            [(HASH, "import uuid; own = self.__dict__.setdefault('own', uuid.uuid4().hex); return own")],
        ),
        (
            "order_is_stable",
            "tide items in train have another order",
            [
                (OWN, 'own = [row for name in names for row in rows if (row["id"], row["split"]) == (name, split)]'),
                (
                    "    class Harbours(",
                    "    names = [path.stem for path in config.root.iterdir()]\n\n    class Harbours(",
                ),
            ],
        ),
    ],
)
def test_what_depends_on_the_process_is_told(failing, check, words, changes):
    found = failing(DatasetSubject, *changes)
    assert found.keys() == {check}
    assert words in found[check]


def test_what_is_not_in_train_pairs_with_nothing(failing):
    found = failing(DatasetSubject, ('["train"] * 4', '["val"] * 4'), leave_out=SLOW)
    assert found.keys() == {"splits_hold_items", "modalities_pair_up"}
    assert "there are no tide items in train" in found["splits_hold_items"]


LEAVE_OUT = (
    "    class Harbours(geobind.Dataset):",
    """    left_out = []
    for row in list(rows):
        try:
            read_levels(config, [row["id"]], 0)
        except geobind.DataError as error:
            rows.remove(row)
            left_out.append(str(error))

    class Harbours(geobind.Dataset):""",
)


def test_items_may_be_left_out_when_they_are_listed(failing):
    listed = (
        "        def origin(self",
        "        def skipped(self):\n            return left_out\n\n        def origin(self",
    )
    assert failing(DatasetSubject, LEAVE_OUT, listed, leave_out=SLOW) == {}
    found = failing(DatasetSubject, LEAVE_OUT, leave_out=SLOW)
    assert found.keys() == {"empty_files_are_told", "garbage_files_are_told"}
    assert "h0.npy is empty, and it says nothing: 12 items become 10" in found["empty_files_are_told"]


def test_a_dataset_without_an_example_is_told(failing):
    found = failing(DatasetSubject, ('example=f"{__name__}:example_harbours",\n', ""), leave_out=SLOW)
    assert set(found.values()) == {
        "dataset 'harbours' has no example data."
        ' Name a function in its spec: example="package.module:function", folder -> config keys.'
    }
