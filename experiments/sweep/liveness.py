"""Whether the process that holds a claim is still alive.

A claim on a run must end with the process that made it, also after SIGKILL, when nobody says goodbye. On the same
machine the process table answers at once; across process name spaces (two containers on one volume) only a heartbeat
that stopped can tell.
"""

import json
import os
import socket
import threading
import time
from pathlib import Path

__all__ = ["LEASE_S", "end_with", "is_alive", "process_identity"]

LEASE_S = 60.0
"""Seconds without a heartbeat after which a driver that cannot be looked up counts as dead."""


def process_identity(pid: int | None = None) -> str:
    """Return JSON text that names one process for ever: where it runs, its number, and when it started.

    >>> process_identity() == process_identity(os.getpid())
    True
    """
    number = os.getpid() if pid is None else pid
    return json.dumps({"place": _place(), "pid": number, "started": _start_time(number)})


def is_alive(identity: str, last_heartbeat: float, *, lease_s: float = LEASE_S) -> bool:
    """Return whether the process named by ``identity`` still runs.

    Parameters
    ----------
    identity : str
        What `process_identity` returned in that process.
    last_heartbeat : float
        Its latest sign of life, in seconds since the epoch; decides only for a process of another place.
    lease_s : float
        How old that sign may be.

    Examples
    --------
    >>> is_alive(process_identity(), last_heartbeat=0.0)
    True
    """
    named = json.loads(identity)
    if named["place"] != _place():
        return time.time() - last_heartbeat < lease_s
    try:
        os.kill(named["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to somebody else
        pass
    return _start_time(named["pid"]) == named["started"]  # otherwise the number was given to a newer process


def _place() -> str:
    """Host, boot and process name space: process numbers are comparable only when all three agree."""
    parts = [socket.gethostname()]
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(), _pid_namespace):
        try:
            parts.append(read())
        except OSError:
            parts.append("")
    return "|".join(parts)


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of the process, "" where the system does not tell (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def end_with(parent: int) -> None:
    """Make this process end when its parent has been killed, instead of waiting for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
