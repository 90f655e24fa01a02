"""What a check is: a function of a subject that returns when all is well, and says what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from geobind.authoring.checks.subjects import Subject

S = TypeVar("S", bound=Subject)


class CheckFailed(AssertionError):
    """The plugin does not do what the check asks: what was found, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """One thing that every sound plugin does, for one kind of subject."""

    name: str
    """The function's name, which ``unchecked`` of a spec and ``--only`` use."""
    kind: type[S]
    function: Callable[[S], None]

    @property
    def summary(self) -> str:
        """What it asks, in a sentence: the first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


CHECKS: list[Check[Subject]] = []
"""All checks, in the order in which they run; modules of checks fill it when they are imported."""


def check(kind: type[S]) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
    """Make a function a check of every subject of a kind."""

    def register(function: Callable[[S], None]) -> Callable[[S], None]:
        CHECKS.append(Check(function.__name__, kind, function))  # type: ignore[arg-type]
        return function

    return register


def require(condition: bool, found: str, fix: str) -> None:
    """Fail the check unless the condition holds.

    Args:
        condition: What must be true.
        found: What was found instead, with the values.
        fix: What the plugin's author can do.

    Raises:
        CheckFailed: It does not hold.
    """
    if not condition:
        raise CheckFailed(f"{found}. {fix}")
