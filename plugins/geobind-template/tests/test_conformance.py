"""What geobind asks of every plugin; `geobind plugins check template` runs the same."""

from collections.abc import Callable

from geobind.authoring import parametrize_with_checks


@parametrize_with_checks("template")
def test_conforms(check: Callable[[], None]) -> None:
    check()
