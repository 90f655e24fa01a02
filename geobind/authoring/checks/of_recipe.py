"""What every recipe does that a plugin ships: it is found by its name, and can be read."""

from __future__ import annotations

from pathlib import Path

from geobind.authoring.checks.check import check, require
from geobind.authoring.checks.subjects import RecipeSubject
from geobind.plan import load_plan, recipe_paths
from geobind.yamlfile import read_document

_HERE = 'Write path=str(Path(__file__).with_name("NAME.yaml")).'


@check(RecipeSubject)
def path_is_absolute(subject: RecipeSubject) -> None:
    """`path` names the same file wherever geobind is called from."""
    path = Path(subject.spec.path)
    require(path.is_absolute(), f"`path` is {str(path)!r}, which depends on the folder one is in", _HERE)


@check(RecipeSubject)
def types_are_known(subject: RecipeSubject) -> None:
    """It can be read and checked, and a plugin brings every type that it names."""
    load_plan(subject.spec.path, subject.plugins)


@check(RecipeSubject)
def says_what_it_binds(subject: RecipeSubject) -> None:
    """The file has a `summary`, which `geobind stages list` shows."""
    summary = str(read_document(Path(subject.spec.path)).values.get("summary") or "")
    require(bool(summary.strip()), "the recipe has no `summary`", "Say in one line what is bound to what.")


@check(RecipeSubject)
def is_found_by_its_name(subject: RecipeSubject) -> None:
    """`--recipe NAME` finds this file, and the space bound by it is called so too."""
    found, own = recipe_paths(subject.plugins).get(subject.spec.name), Path(subject.spec.path)
    require(
        found == own,
        f"--recipe {subject.spec.name} finds {str(found)!r}",
        "Another recipe has that name: give this one another.",
    )
    require(
        own.stem == subject.spec.name,
        f"the file is called {own.name!r}, and the recipe {subject.spec.name!r}",
        f"Rename the file {subject.spec.name}.yaml: spaces are called as the file is.",
    )
