"""Fails to import, as after an update of something it needs."""

import a_module_that_is_not_there  # noqa: F401
