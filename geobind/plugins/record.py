"""What became of one plugin."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from traceback import walk_tb
from typing import Any

from geobind.errors import GeobindError
from geobind.modality import EncoderSpec, Spec

SLOW_S = 0.3
"""A plugin that takes longer to import is called slow: all plugins are imported for every list."""


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What became of one plugin."""

    name: str
    source: EntryPoint | Path | str
    """The entry point, the path of a one-file plugin, or the variable that names a plugin which is not there."""
    status: str
    """``ok``, ``broken``, ``duplicate``, ``incompatible``, ``blocked`` or ``absent``."""
    reason: str = ""
    where: str = ""
    """``file:line`` of what is wrong, where that is known."""
    api: int | None = None
    """The plugin API that it is written for; None when it did not come so far."""
    seconds: float = 0.0
    """Time that importing it and asking its hooks took."""
    hooks: tuple[str, ...] = ()
    specs: tuple[Spec, ...] = field(default=(), repr=False)

    @property
    def unsound(self) -> bool:
        """Whether it did not load though nobody asked to leave it out."""
        return self.status not in ("ok", "blocked")

    @property
    def slow(self) -> bool:
        """Whether importing it takes longer than :data:`SLOW_S`."""
        return self.seconds > SLOW_S

    # Properties, since reading a distribution's metadata for every plugin would slow down every list.

    @property
    def package(self) -> str:
        """The top-level package behind the entry point, or the name that a one-file plugin is imported by."""
        if isinstance(self.source, EntryPoint):
            return self.source.module.partition(".")[0]
        return self.source.stem if isinstance(self.source, Path) else ""

    @property
    def distribution(self) -> Distribution | None:
        """The installed distribution that it comes from."""
        return self.source.dist if isinstance(self.source, EntryPoint) else None

    @property
    def version(self) -> str:
        """Version of its distribution; empty for a one-file plugin."""
        return self.distribution.version if self.distribution else ""

    @property
    def origin(self) -> str:
        """``module (distribution version)``, or the path of a one-file plugin."""
        if not isinstance(self.source, EntryPoint):
            return str(self.source)
        if self.source.dist is None:
            return self.source.value
        about = self.source.dist.metadata
        return f"{self.source.value} ({about['Name']} {about['Version']})"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, as ``geobind plugins list --json`` prints it."""
        return {
            "name": self.name,
            "status": self.status,
            "version": self.version,
            "api": self.api,
            "seconds": round(self.seconds, 4),
            "slow": self.slow,
            "origin": self.origin,
            "reason": self.reason,
            "where": self.where,
            "hooks": list(self.hooks),
            "provides": [label(spec) for spec in self.specs],
        }


def label(spec: Spec) -> str:
    """How a spec is called: ``modality thermal``, ``encoder thermal/cnn``, ``encoder rgb+2/vit`` if it serves three."""
    first, *others = taken_names(spec)
    kind_and_modality, slash, name = first.partition("/")
    return f"{kind_and_modality}+{len(others)}{slash}{name}" if others else first


def taken_names(spec: Spec) -> list[str]:
    """The names that no other spec may have, with what they are names of: an encoder's one for each modality."""
    kind = type(spec).__name__.removesuffix("Spec").lower()
    if isinstance(spec, EncoderSpec):
        return [f"{kind} {modality}/{spec.name}" for modality in spec.modalities]
    return [f"{kind} {spec.name}"]


def sentence(error: BaseException) -> str:
    """An error in one line: what happened and the remedy, without the place."""
    if isinstance(error, GeobindError):
        text = f"{error.what}. {error.fix}".rstrip(". ")
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def place_of(error: BaseException, package: str) -> str:
    """``file:line`` of the last line of a plugin's own that led to an error.

    Args:
        error: What was raised.
        package: The plugin's top-level package.

    Returns:
        The place; empty where no line of the package is involved.
    """
    if isinstance(error, GeobindError) and error.where:
        return error.where
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    own = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return own[-1] if own else ""
