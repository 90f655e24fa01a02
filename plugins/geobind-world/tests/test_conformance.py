from geobind.authoring import parametrize_with_checks


@parametrize_with_checks("world")
def test_conforms(check):
    check()
