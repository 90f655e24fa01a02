"""What geobind asks of every plugin; `geobind plugins check maptags` runs the same."""

from collections.abc import Callable

from geobind.authoring import parametrize_with_checks


@parametrize_with_checks("maptags")
def test_conforms(check: Callable[[], None]) -> None:
    check()
