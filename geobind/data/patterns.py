"""Files found by a pattern such as ``images/{split}/{id}_*.jpg``, and what their paths say."""

from __future__ import annotations

import glob
import os
import re
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from geobind.errors import DataError

LOOKED_AT = 2_000
"""Files among which the one nearest to a pattern without a match is looked for."""


class Found(NamedTuple):
    """A file that a pattern matches."""

    path: str
    """Below the folder."""
    fields: dict[str, str]
    """What stands in the path in the place of each ``{field}``."""


def matches(root: Path, pattern: str) -> list[Found]:
    """The files below a folder that a pattern matches, sorted by path; hidden ones are passed over.

    A ``{field}`` is one character or more, as many as fit, and the same wherever it is repeated; ``*`` is any number.
    Neither crosses a ``/``.

    Raises:
        DataError: There are none, with the nearest of those that are there.
    """
    wildcard, expression = "", ""
    for part in re.split(r"({\w+}|\*)", pattern):
        if part == "*":
            wildcard, expression = wildcard + "*", expression + "[^/]*"
        elif part.startswith("{"):
            name = part[1:-1]
            again = f"(?P<{name}>" in expression
            wildcard, expression = wildcard + "*", expression + (f"(?P={name})" if again else f"(?P<{name}>[^/]+)")
        else:
            wildcard, expression = wildcard + glob.escape(part), expression + re.escape(part)
    fits = re.compile(expression, re.DOTALL).fullmatch
    # Not Path.glob, which finds hidden files too.
    paths = map(fits, sorted(glob.glob(wildcard, root_dir=root)))  # noqa: PTH207
    if found := [Found(path[0], path.groupdict()) for path in paths if path and (root / path[0]).is_file()]:
        return found
    files = (Path(parent, name) for parent, _, names in os.walk(root) for name in names)
    there = sorted(path.relative_to(root).as_posix() for path in islice(files, LOOKED_AT))
    close = get_close_matches(pattern, there, n=1, cutoff=0)
    fix = f"There is, for example, {close[0]!r}; mend the pattern." if close else "The folder is empty."
    raise DataError(f"no file matches the pattern {pattern!r}", where=str(root), fix=fix)
