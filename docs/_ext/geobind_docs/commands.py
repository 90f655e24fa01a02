"""The command line, from the tree of its commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from geobind.cli import app
from geobind.plugins import get_plugins
from geobind_docs.markdown import code, entry, prose, slug

OPTIONS = "Options"


def write() -> str:
    """A section for every command, with its arguments and options."""
    return "\n".join(_section(words, command) for words, command in tree())


def tree() -> Iterator[tuple[str, Any]]:
    """Every command that does something and every group with options of its own, by its words."""

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        if command.params or not inner:
            yield words, command
        for name, one in inner.items():
            yield from walk(f"{words} {name}", one)

    get_plugins().add_commands(app)
    return walk("geobind", get_command(app))


def _section(words: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = [words, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])]
    if hasattr(command, "commands"):
        usage.append("COMMAND …")
    parts = [f"## `{words}`\n", _help(command.help), f"```text\n{' '.join(usage)}\n```\n"]
    parts += [entry(_argument(one), (), _help(one.help), anchor=_anchor(words, one)) for one in arguments]
    panels = dict.fromkeys(one.rich_help_panel or OPTIONS for one in options)
    for panel in panels:
        if len(panels) > 1:
            parts.append(f"**{panel}**\n")
        parts += [_option(words, one) for one in options if (one.rich_help_panel or OPTIONS) == panel]
    return "\n".join(parts)


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _option(words: str, option: Any) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    default = option.default
    shown = default is not None and default is not False and default != "" and option.show_default
    if option.is_flag and shown:
        default = option.opts[0]
    facts = (f"default {code(default)}" if shown else "", "may be repeated" if option.multiple else "")
    return entry(names + value, facts, _help(option.help), anchor=_anchor(words, option))


def _help(text: str) -> str:
    """Help as Markdown, with options as code."""
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", prose(text))


def _anchor(words: str, parameter: Any) -> str:
    return slug(f"{words} {parameter.opts[0]}")
