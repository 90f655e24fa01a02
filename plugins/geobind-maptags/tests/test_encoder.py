"""The encoder tag_set: what it reads, what it refuses, and what does and does not matter to it."""

import json
from pathlib import Path
from typing import Any

import geobind
import pytest
import torch

from geobind_maptags import TagSetConfig
from geobind_maptags.encoder import TagSet, read

BAG = {"place=village": 12, "country=IT": 40, "natural=peak": 1.5}


def embed(*bags: dict[str, float]) -> torch.Tensor:
    torch.manual_seed(0)
    encoder = TagSet(TagSetConfig(width=8)).eval()
    with torch.no_grad():
        return encoder(encoder.collate([encoder.preprocess(bag, train=False) for bag in bags]))


def test_the_hash_is_the_same_everywhere() -> None:
    encoder = TagSet(TagSetConfig(width=1))
    assert encoder.preprocess({"place=village": 1}, train=False)["bucket"].tolist() == [3991]  # its CRC-32 mod 16384


def test_the_order_of_tags_does_not_matter() -> None:
    one, other = embed(BAG, dict(reversed(BAG.items())))
    assert torch.equal(one, other)


def test_counts_and_tags_matter() -> None:
    first, *others = embed(BAG, BAG | {"country=IT": 41}, BAG | {"country=FR": 40}, {"country=IT": 40})
    assert all(not torch.allclose(first, other, atol=1e-5) for other in others)


def test_an_item_of_one_tag_is_its_row_times_its_log_count() -> None:
    encoder = TagSet(TagSetConfig(width=8))
    batch = encoder.collate([encoder.preprocess({"a=b": 3}, train=False), encoder.preprocess(BAG, train=False)])
    pooled = encoder.table(batch["bucket"], per_sample_weights=batch["weight"])
    torch.testing.assert_close(pooled[0], encoder.table.weight[batch["bucket"][0, 0]] * torch.tensor(4.0).log())


def test_a_count_of_any_size_stays_finite() -> None:
    assert embed({"a=b": 1e300, "c=d": 1e-300}).isfinite().all()


def test_training_drops_tags_but_never_all() -> None:
    encoder = TagSet(TagSetConfig(drop=0.9))
    sizes = {
        len(encoder.preprocess(BAG, train=True, generator=torch.Generator().manual_seed(seed))["bucket"])
        for seed in range(50)
    }
    assert sizes == {1, 2} or sizes == {1, 2, 3}


def test_a_file_is_read_as_the_bag_it_holds(tmp_path: Path) -> None:
    (tmp_path / "como.json").write_text(json.dumps(BAG))
    assert read(tmp_path / "como.json") == BAG


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "at least 1 item"),
        ({"a=b": float("nan")}, "a=b .*finite"),
        ({"a=b": -1}, "a=b .*greater than 0"),
        ({"a=b": 0}, "greater than 0"),
        ({"a=b": True}, "valid number"),
        ({"a=b": "3"}, "valid number"),
        ({"village": 1}, "village.*pattern"),
        (["place=village"], "valid dictionary"),
        (None, "NoneType"),
        ("absent.json", "absent.json"),
    ],
)
def test_what_is_no_bag_is_refused_with_a_remedy(item: Any, said: str) -> None:
    with pytest.raises(geobind.DataError, match=said) as told:
        read(item)
    assert told.value.fix
