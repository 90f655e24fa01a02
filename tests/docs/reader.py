"""Does what a page says, in a folder of its own: writes files, runs commands and Python, checks YAML.

``geobind`` runs in this process, so that torch is imported once for all pages; any other command runs in bash, where
``geobind`` is ``python -m geobind``. Once a page has installed something, all of its commands run in an environment
of that page, which sees everything that is installed here.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import traceback
import venv
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path
from sysconfig import get_path
from unittest.mock import patch

import yaml
from typer import Typer
from typer.main import get_command

from geobind.cli import app, main
from geobind.config import Recipe
from geobind.errors import GeobindError
from geobind.modality import EncoderSpec
from geobind.plan import resolve
from geobind.plugins import get_plugins
from geobind.plugins.loading import specs_of
from geobind.yamlfile import Document

SHELL = re.compile(r"[|<>&;()]+")
"""Words that only a shell understands."""
SHIMS = {
    "geobind": "-m geobind",
    "pip": "-m pip",
    "pytest": "-m pytest",
    "python": "",
    "torchrun": "-m torch.distributed.run",
}
INSTALLS = re.compile(r"^\s*pip install ", flags=re.MULTILINE)
STAGE = {
    "name": "any",
    "modality": "text",
    "train": "heads",
    "encoder": {"type": "minilm"},
    "dataset": {"type": "world"},
}
RECIPE = {"anchor": {"encoder": {"type": "efficientnet_lite0"}}, "stages": [STAGE]}
"""What is put around a part of a recipe."""


class Reader:
    """Reads one page.

    Args:
        folder: An empty one; the page's is inside.
        installs: Whether the page installs something.
    """

    def __init__(self, folder: Path, *, installs: bool) -> None:
        self.home = folder / "page"
        self.home.mkdir()
        self.state = folder / "state"
        self.names = {"__name__": "__main__"}
        self.installed = False
        python = _environment(folder / "venv") if installs else Path(sys.executable)
        for shim, arguments in SHIMS.items():
            path = folder / "bin" / shim
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec "{python}" {arguments} "$@"\n')
            path.chmod(0o755)
        self.variables = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path("~/.cache").expanduser())),
            "MPLBACKEND": "Agg",
            "COLUMNS": "160",
            "PWD": str(self.home),
        }
        if all(map(importlib.util.find_spec, ("hatchling", "editables"))):  # what builds is here: nothing is fetched
            self.variables["PIP_NO_BUILD_ISOLATION"] = "0"

    def read(self, block) -> None:
        """Do what a block says.

        Raises:
            Mistake: It does not work; with the page and the line.
        """
        if block.not_run or block.language == "text":
            return
        if name := block.file:
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.partition("\n")[2], encoding="utf-8")
            if path.name == "sensors.yaml":
                with chdir(self.home):
                    ask_again("sensors")
            return
        does = {"sh": self.shell, "before": self.shell, "python": self.python, "yaml": check_yaml}
        does |= {"json": _parsed(json.loads), "toml": _parsed(tomllib.loads)}
        if block.language not in does:
            raise block.wrong(f"a block of {block.language or 'no language'}: write text for what is only shown")
        with patch.dict(os.environ, self.variables, clear=True), chdir(self.variables["PWD"]):
            does[block.language](block)

    def shell(self, block) -> None:
        """Run commands: ``geobind`` here, what lies between in bash."""
        waiting: list[str] = []
        first = 0
        for number, line in commands(block.text):
            words = None if self.installed else plain(line)
            if words is None:
                first = first if waiting else number
                waiting.append(line)
                continue
            self._bash(block, first, waiting)
            self._geobind(block, number, words)
        self._bash(block, first, waiting)
        self.installed |= bool(INSTALLS.search(block.text))

    def python(self, block) -> None:
        """Run Python in the page's namespace."""
        source = "\n" * (block.line - 1) + block.text
        try:
            with patch.object(sys, "path", [str(Path.cwd()), *sys.path]):
                exec(compile(source, str(block.page), "exec", dont_inherit=True), self.names)  # noqa: S102
        except Exception as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(block.page)]
            line = frames[-1].lineno if frames else getattr(error, "lineno", block.line)
            raise block.wrong(f"{type(error).__name__}: {error}", line - block.line) from error

    def _bash(self, block, first: int, lines: list[str]) -> None:
        if not any(line.strip() for line in lines):
            return lines.clear()
        script = "\n".join([*lines, f"env -0 > '{self.state}'"])
        done = subprocess.run(["bash", "-e", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            told = (done.stdout + done.stderr)[-3000:]
            raise block.wrong(f"exit code {done.returncode} of\n{chr(10).join(lines)}\n{told}", first)
        self.variables = dict(pair.split("=", 1) for pair in self.state.read_text().split("\0") if "=" in pair)
        os.environ.update(self.variables)
        os.chdir(self.variables["PWD"])
        return lines.clear()

    def _geobind(self, block, number: int, words: list[str]) -> None:
        told = io.StringIO()
        with as_it_was(self.home), redirect_stdout(told), redirect_stderr(told), patch.object(sys, "argv", words):
            try:
                main()
            except SystemExit as end:
                if end.code:
                    what = f"exit code {end.code} of {shlex.join(words)}\n{told.getvalue()[-3000:]}"
                    raise block.wrong(what, number) from end
            except Exception as error:
                raise block.wrong(f"{type(error).__name__} in {shlex.join(words)}: {error}", number) from error


def commands(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a shell block with their numbers; a line that ends in a backslash goes on in the next."""
    start, parts = 0, []
    for number, line in enumerate(text.splitlines()):
        start = start if parts else number
        parts.append(line)
        if not line.endswith("\\"):
            yield start, "\n".join(parts)
            parts = []


def plain(line: str) -> list[str] | None:
    """The words of a ``geobind`` command that needs no shell; None for any other line."""
    line = line.replace("\\\n", " ")
    if not line.startswith("geobind "):
        return None
    words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    if any(SHELL.fullmatch(word) or "$" in word or "`" in word for word in words):
        return None
    words = shlex.split(line, comments=True)  # punctuation_chars would take words apart at @ or +
    return [os.path.expanduser(word) for word in words]  # noqa: PTH111 - a word need not be a path


@cache
def command_line():
    """The core's commands and those of plugins."""
    whole = Typer()
    whole.registered_commands, whole.registered_groups = list(app.registered_commands), list(app.registered_groups)
    whole.registered_callback = app.registered_callback
    get_plugins().add_commands(whole)
    return whole


def check_command(words: list[str]) -> str:
    """What is wrong with a ``geobind`` command; empty where it and its options exist."""
    command = get_command(command_line())
    said = words[0]
    words = words[1:]
    while hasattr(command, "commands"):
        while words and words[0].startswith("--"):  # options of geobind itself, such as --plugin FILE
            words = words[2:]
        if not words or words[0] not in command.commands:
            return f"{said} has no command {words[0] if words else ''}"
        said, command, words = f"{said} {words[0]}", command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    return f"{said} has no {', '.join(unknown)}" if unknown else ""


def check_yaml(block) -> None:
    """A whole recipe must be valid, and a part of one or of a stage must fit into a valid recipe."""
    try:
        values = yaml.safe_load(block.text)
    except yaml.YAMLError as error:
        raise block.wrong(str(error)) from error
    if isinstance(values, list):
        values = {"stages": values}
    if not isinstance(values, dict):
        raise block.wrong("neither a recipe nor a part of one")
    if not values.keys() <= Recipe.model_fields.keys():
        values = {"stages": [{**STAGE, **_modality_of(values), **values}]}
    try:
        resolve("page", Document(str(block.page), {**RECIPE, **values}), get_plugins())
    except GeobindError as error:
        raise block.wrong(str(error)) from error


def _modality_of(stage: dict) -> dict:
    """The modality of a stage that names its encoder alone."""
    wanted = stage["encoder"].get("type") if isinstance(stage.get("encoder"), dict) else None
    specs = [spec for spec in get_plugins().specs(EncoderSpec) if spec.name == wanted != "minilm"]
    found = [modality for spec in specs for modality in spec.modalities]
    return {"modality": next((name for name in found if name != "satellite"), "text")}


def _parsed(parse):
    def check(block) -> None:
        try:
            parse(block.text)
        except ValueError as error:
            raise block.wrong(str(error)) from error

    return check


def ask_again(name: str) -> None:
    """Ask a plugin's hooks anew, as the next process does; what it has is forgotten with the page."""
    plugins = get_plugins()
    plugin = plugins.manager.get_plugin(name)
    for row, record in enumerate(plugins.records):
        if record.name == name and record.status == "ok":
            plugins.records[row] = replace(record, specs=tuple(specs_of(plugins.manager, name, plugin)))


@contextmanager
def as_it_was(folder: Path) -> Iterator[None]:
    """Forget afterwards what was loaded from a folder, one-file plugins too, as a process does when it ends."""
    plugins = get_plugins()
    records, modules = list(plugins.records), set(sys.modules)
    try:
        yield
    finally:
        for record in plugins.records[len(records) :]:
            if record.status == "ok":
                plugins.manager.unregister(name=record.name)
        plugins.records[:] = records
        for name in sys.modules.keys() - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def _environment(folder: Path) -> Path:
    """An environment that sees what is installed in this one; its Python."""
    venv.EnvBuilder(symlinks=True).create(folder)
    outer = get_path("purelib")
    inner = next(folder.glob("lib/python*/site-packages"))
    (inner / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
    return folder / "bin/python"


def mistake_of(page: Path, folder: Path, *, languages: set[str] | None = None, before: str = "") -> str:
    """Do what a page says, block by block.

    Args:
        page: The Markdown file.
        folder: An empty one.
        languages: Read these blocks alone; all by default.
        before: Commands to run first.

    Returns:
        The first thing that does not work, with page and line; empty when all does.
    """
    pages = sys.modules["docs_blocks"]
    try:
        found = [block for block in pages.blocks(page) if not languages or block.language in languages]
        found.insert(0, pages.Block(page, 0, "before", before))
        shell = (block.text for block in found if block.language in ("sh", "before") and not block.not_run)
        reader = Reader(folder, installs=any(map(INSTALLS.search, shell)))
        with as_it_was(folder):
            for block in found:
                reader.read(block)
    except pages.Mistake as mistake:
        return str(mistake)
    return ""
