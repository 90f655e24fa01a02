"""``geobind doctor``: look at the environment and name the cure of what ails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geobind.cli.doctor.finding import Check, Finding


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at Python, torch, GPUs, codecs, folders, plugins and weights; exit with 1 when something ails.

    A note is worth knowing and stops nothing.
    """
    findings: list[Finding] = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.status:<4} {finding.name}: {finding.found}")
            if finding.cure:
                typer.echo(f"     cure: {finding.cure}")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    if any(finding.status == "AILS" for finding in findings):
        raise typer.Exit(1)


def checks() -> tuple[Check, ...]:
    """All checks, in the order in which they are told."""
    from geobind.cli.doctor import codecs, compute, machine, packages

    return (
        machine.python,
        machine.processor,
        machine.memory,
        compute.torch,
        compute.torchvision,
        compute.gpu,
        codecs.pictures,
        codecs.sounds,
        machine.folders,
        packages.plugins,
        packages.weights,
        packages.model_hub,
        packages.extras,
    )


def _findings() -> Iterator[Finding]:
    """What every check finds; one that fails is a finding too, since the others are worth having."""
    from geobind.cli.doctor.finding import ails

    for check in checks():
        name = check.__name__.replace("_", " ")
        try:
            yield from check()
        except Exception as error:
            cure = "This is a fault of the check itself: please report it with this line."
            yield ails(name, f"could not be looked at: {type(error).__name__}: {error}", cure)
