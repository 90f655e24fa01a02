"""What every plugin does as a whole: it is cheap to import, and its hooks bring specs with plain names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

from geobind.authoring.checks.check import check, require
from geobind.authoring.checks.subjects import PluginSubject
from geobind.plugins.loading import SPEC_OF
from geobind.plugins.record import SLOW_S, label

HEAVY = {"torch", "torchvision", "numpy", "scipy", "PIL", "pyarrow", "pandas", "matplotlib", "sklearn", "transformers"}
"""Packages that no listing may load."""

_IMPORT = """
import json, sys, time
from importlib.metadata import EntryPoint
from pathlib import Path
file, module, sys.path[:] = json.loads(sys.argv[1])
from geobind.plugins import Plugins
from geobind.plugins.loading import import_file, specs_of
manager = Plugins().manager
known, start = set(sys.modules), time.perf_counter()
plugin = import_file(Path(file)) if file else EntryPoint("it", module, "geobind").load()
manager.register(plugin, name="it")
specs = list(specs_of(manager, "it", plugin))
seconds = time.perf_counter() - start
print()
print(json.dumps([seconds, sorted({name.partition(".")[0] for name in set(sys.modules) - known})]))
"""


@check(PluginSubject)
def import_is_cheap(subject: PluginSubject) -> None:
    """Importing it and asking its hooks takes at most 0.3 s and loads neither torch nor any other heavy package."""
    best = float("inf")
    for _ in range(3):  # a busy machine is slow now and then
        seconds, packages = _import_elsewhere(subject)
        heavy = sorted(HEAVY.intersection(packages))
        require(
            not heavy,
            f"importing it loads {', '.join(heavy)}",
            "Import heavy packages inside the builders, which are named by strings and imported when they are needed.",
        )
        best = min(best, seconds)
        if best <= SLOW_S:
            return
    require(
        False,
        f"importing it and asking its hooks takes {best:.2f} s, more than {SLOW_S:g} s; it loads {', '.join(packages)}",
        "Every `geobind` command waits for it. Move work and imports into the builders.",
    )


@check(PluginSubject)
def hooks_return_lists_of_specs(subject: PluginSubject) -> None:
    """Every hook returns a list of specs of its own kind, and the same ones whenever it is asked."""
    for hook, kind in SPEC_OF.items():
        for implementation in getattr(subject.plugins.manager.hook, hook).get_hookimpls():
            if implementation.plugin is not subject.module:
                continue
            found = implementation.function()
            fix = f"Return a list of {kind.__name__}."
            require(isinstance(found, list), f"{hook} returns a {type(found).__name__}", fix)
            for spec in found:
                require(type(spec) is kind, f"{hook} returns a {type(spec).__name__}", fix)
            same = found == implementation.function()
            require(same, f"{hook} returns other specs when it is asked again", "Let them depend on nothing.")


@check(PluginSubject)
def names_are_plain_words(subject: PluginSubject) -> None:
    """Names are lower-case words: letters, digits and underscores, beginning with a letter."""
    for spec in subject.record.specs:
        require(
            re.fullmatch(r"[a-z][a-z0-9_]*", spec.name) is not None,
            f"{label(spec)} has the name {spec.name!r}",
            "Names are typed on the command line and in recipes: write [a-z][a-z0-9_]*.",
        )


def _import_elsewhere(subject: PluginSubject) -> tuple[float, list[str]]:
    """Seconds that importing a plugin takes in a new process that knows geobind, and the packages it loads."""
    source = subject.record.source
    file = str(source.resolve()) if isinstance(source, Path) else None
    module = source.value if isinstance(source, EntryPoint) else ""
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script of our own
        [sys.executable, "-c", _IMPORT, json.dumps([file, module, sys.path])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    require(
        done.returncode == 0,
        f"it cannot be imported in a new process: {(done.stderr.strip().splitlines() or ['no word'])[-1]}",
        "See that it depends on nothing that this process did before.",
    )
    seconds, packages = json.loads(done.stdout.splitlines()[-1])
    return seconds, packages
