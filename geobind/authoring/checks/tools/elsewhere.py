"""Call a function in a fresh interpreter, with the plugins of this one: nothing is inherited but what is sent."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from geobind.authoring.checks.check import CheckFailed
from geobind.errors import GeobindError
from geobind.plugins import Plugins, get_plugins

T = TypeVar("T")
LIMIT_S = 300.0
"""After so long it is taken to hang."""


def call_elsewhere(plugins: Plugins, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function of a module in a fresh process and bring its result back.

    The process has the module path of this one, the one-file plugins, and other hashes of strings.

    Args:
        plugins: Those of this process.
        function: What is called, found there by its module and name.
        arguments: Sent to it, pickled.

    Raises:
        CheckFailed: The process died, took too long, or the function raised something that is no GeobindError.
        GeobindError: The function raised it.
    """
    with TemporaryDirectory(prefix="geobind-check-") as folder:
        call, answer = Path(folder) / "call", Path(folder) / "answer"
        with call.open("wb") as file:
            pickle.dump((sys.path, plugin_files(plugins)), file)
            pickle.dump((function, arguments), file)
        # Strings hash otherwise there, also where this process was told its hashes.
        hashes = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        command = [sys.executable, "-m", __name__, str(call), str(answer)]
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter, and files that were just written
                command,
                env={**os.environ, "PYTHONHASHSEED": hashes},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"a fresh process took more than {LIMIT_S:g} s. Does something in it wait?") from None
        if not answer.is_file():
            last = done.stdout.decode(errors="replace").strip()[-500:]
            raise CheckFailed(f"a fresh process ended with status {done.returncode}. It said last: {last or 'nothing'}")
        result: T
        with answer.open("rb") as file:
            error, result = pickle.load(file)  # noqa: S301 - written by the process above
    if error is not None:
        raise error
    return result


def plugin_files(plugins: Plugins) -> list[Path]:
    """The files of the one-file plugins, which a fresh process has to load before anything of theirs can be found."""
    records = [record for record in plugins.records if record.status == "ok"]
    return [record.source.resolve() for record in records if isinstance(record.source, Path)]


def _answer(call: Path, answer: Path) -> None:
    error: Exception | None = None
    result = None
    with call.open("rb") as file:
        sys.path[:], files = pickle.load(file)  # noqa: S301 - written by the process that started this one
        for path in files:
            get_plugins().load_file(path)
        try:
            function, arguments = pickle.load(file)  # noqa: S301
            result = function(*arguments)
        except (GeobindError, CheckFailed) as raised:
            error = raised
        except Exception as raised:
            error = CheckFailed(f"in a fresh process: {type(raised).__name__}: {raised}")
    content = io.BytesIO()
    pickle.dump((error, result), content)
    answer.write_bytes(content.getvalue())


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), Path(sys.argv[2]))
