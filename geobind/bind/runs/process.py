"""Whether the process that runs something still lives."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Host, number and birth of this process, by which others tell whether it lives."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _stat(os.getpid())[1]}


def alive(process: dict[str, Any]) -> bool | None:
    """Whether such a process lives; None when that cannot be seen from this host."""
    if process.get("host") != socket.gethostname() or sys.platform == "win32":
        return None
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    state, born = _stat(process["pid"])
    # A number is given out again, soon so in a container: then the birth differs. A zombie has ended, too.
    return born == process["born"] and state not in ("Z", "X")


def _stat(pid: int) -> tuple[str, str]:
    """State and time of birth (clock ticks since the system started), where the system has /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]
