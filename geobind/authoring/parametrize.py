"""The checks of a plugin as tests of pytest, one each, in the manner of scikit-learn's ``parametrize_with_checks``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from geobind.authoring.checks.run import Planned, plan_checks
from geobind.errors import MissingPackage
from geobind.plugins import get_plugins


@dataclass(frozen=True)
class CheckTest:
    """A check that is run when it is called: what a test that is parametrised with checks is given."""

    planned: Planned

    def __call__(self) -> None:
        """Run it; its failure is the test's, and a declared reason skips the test.

        Raises:
            CheckFailed: The plugin does not do what the check asks.
        """
        if self.planned.declared is not None:
            pytest.skip(self.planned.declared)
        try:
            self.planned.check.function(self.planned.subject)
        except MissingPackage as error:
            pytest.skip(str(error))


def parametrize_with_checks(*names: str | Path) -> pytest.MarkDecorator:
    """Run a test once for every check of some plugins, as its argument ``check``.

    Collecting the tests imports the plugins and builds nothing of theirs::

        @parametrize_with_checks("thermal")
        def test_conforms(check):
            check()

    Args:
        names: Names of installed plugins, or paths of one-file plugins (``*.py``).

    Raises:
        PluginError: There is no such plugin, or it did not load.
    """
    planned = [each for name in names for each in plan_checks(_loaded(name))]
    return pytest.mark.parametrize("check", [pytest.param(CheckTest(each), id=each.id) for each in planned])


def _loaded(name: str | Path) -> str:
    """The name of a plugin; a one-file plugin is loaded unless it is."""
    path = Path(name)
    if path.suffix != ".py":
        return str(name)
    known = [record.source for record in get_plugins().records if isinstance(record.source, Path)]
    if path.resolve() not in [source.resolve() for source in known]:
        get_plugins().load_file(path)
    return path.stem
