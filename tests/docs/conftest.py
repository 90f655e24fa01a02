"""The built site, once for all tests, and a browser."""

from __future__ import annotations

import fcntl
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the built pages; of several workers the first one builds them.

    What was told and how long it took lie beside it, in ``told`` and ``seconds``.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = (shared.parent if shared.name.startswith("popen-") else shared) / "site"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "seconds").exists():
            start = time.monotonic()
            command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
            done = subprocess.run([*command, ROOT / "docs", shared / "html"], capture_output=True, text=True)
            told = done.stdout + done.stderr + (f"exit code {done.returncode}" if done.returncode else "")
            (shared / "told").write_text(told)
            (shared / "seconds").write_text(str(time.monotonic() - start))
    return shared / "html"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if "browser" not in sys.modules:  # tests cannot import each other
        spec = importlib.util.spec_from_file_location("browser", ROOT / "tests/browser.py")
        sys.modules["browser"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    with sys.modules["browser"].a_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser
