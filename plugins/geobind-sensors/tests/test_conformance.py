from geobind.authoring import parametrize_with_checks


@parametrize_with_checks("sensors")
def test_conforms(check):
    check()
