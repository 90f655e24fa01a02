"""What an item is, a bag of map tags with counts: how it is read, shown, and made up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import geobind
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

Count = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Tags = Annotated[dict[Annotated[str, Field(pattern="^[^=]+=.+")], Count], Field(min_length=1)]
BAG: TypeAdapter[dict[str, float]] = TypeAdapter(Tags, config=ConfigDict(strict=True))


def refusal(error: Exception, where: str, fix: str) -> geobind.DataError:
    """The first thing that is wrong, in one line with its remedy."""
    if not isinstance(error, ValidationError):
        return geobind.DataError(f"it cannot be read: {error}", where=where, fix="Name a file of UTF-8 text.")
    first = error.errors()[0]
    told = ": ".join([*map(str, first["loc"]), first["msg"], f"it is {str(first['input'])[:60]!r}"])
    return geobind.DataError(told, where=where, fix=fix)


def read(item: Any) -> dict[str, float]:
    """A mapping of tags to counts, or the path of a JSON file that holds one.

    Raises:
        DataError: It cannot be read, is empty, has a tag without ``=``, or a count that is not finite and above 0.
    """
    try:
        if isinstance(item, str | Path):
            return BAG.validate_json(Path(item).read_bytes())
        return BAG.validate_python(dict(item) if isinstance(item, Mapping) else item)
    except (OSError, ValueError) as error:
        where = f"maptags item, {item if isinstance(item, str | Path) else type(item).__name__}"
        raise refusal(error, where, 'Give {"key=value": count}: one tag at least, counts above 0.') from error


def preview(item: Any) -> str:
    """The six most frequent tags, for reports."""
    counts = sorted(read(item).items(), key=lambda pair: -pair[1])
    return ", ".join(f"{tag} ×{count:g}" for tag, count in counts[:6])


def example(index: int) -> dict[str, float]:
    """A made-up item of one to four tags, another for every index."""
    tags = ["place=village", "natural=peak", f"country={index}", "waterway=river"]
    return {tag: 1.0 + index + row for row, tag in enumerate(tags[: 1 + index % 4])}
