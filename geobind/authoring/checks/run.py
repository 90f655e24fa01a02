"""Run the checks of a plugin, one after the other, and say what became of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from geobind.authoring.checks.check import CHECKS, Check, CheckFailed
from geobind.authoring.checks.subjects import Subject, subjects_of
from geobind.errors import GeobindError, MissingPackage
from geobind.plugins import Plugins, get_plugins
from geobind.plugins.record import place_of

MODULES = (
    "of_plugin",
    "of_specs",
    "of_modality",
    "of_encoder",
    "of_encoder_in_use",
    "of_dataset",
    "of_dataset_items",
    "of_dataset_files",
    "of_loss",
    "of_loss_in_use",
    "of_recipe",
)
"""The modules of checks, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one check."""

    subject: str
    check: str
    status: Literal["passed", "failed", "skipped"]
    reason: str
    """Why it failed, or the declared reason why it was not run."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A check and what it will be run on."""

    check: Check[Subject]
    subject: Subject

    @property
    def id(self) -> str:
        """How a test of it is called."""
        return f"{self.subject.label}: {self.check.name}"

    @property
    def declared(self) -> str | None:
        """The reason its author gives for not running it."""
        return self.subject.unchecked.get(self.check.name)

    def run(self) -> Outcome:
        """Run it, turning whatever goes wrong into an outcome."""
        if self.declared is not None:
            return Outcome(self.subject.label, self.check.name, "skipped", self.declared, 0.0)
        start = time.perf_counter()
        status: Literal["passed", "failed", "skipped"] = "passed"
        reason = ""
        try:
            self.check.function(self.subject)
        except MissingPackage as error:
            status, reason = "skipped", str(error)
        except (CheckFailed, GeobindError) as error:
            status, reason = "failed", str(error)
        except (Exception, SystemExit) as error:
            place = place_of(error, self.subject.record.package)
            status, reason = "failed", f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")
        return Outcome(self.subject.label, self.check.name, status, reason, time.perf_counter() - start)


def plan_checks(name: str, plugins: Plugins | None = None) -> list[Planned]:
    """The checks that apply to a plugin and to all it brings.

    Raises:
        PluginError: No such plugin, or it did not load.
    """
    for module in MODULES:
        import_module(f"geobind.authoring.checks.{module}")
    plugins = plugins or get_plugins()
    subjects = subjects_of(plugins, plugins.record(name))
    return [Planned(check, subject) for subject in subjects for check in CHECKS if isinstance(subject, check.kind)]


def examine(name: str, plugins: Plugins | None = None) -> Iterator[Outcome]:
    """Run all checks of a plugin; an outcome each, as they come.

    Args:
        name: The plugin's name, as ``geobind plugins list`` shows it.
        plugins: All plugins; those of this process by default.

    Raises:
        PluginError: No such plugin, or it did not load.
    """
    for planned in plan_checks(name, plugins):
        yield planned.run()
