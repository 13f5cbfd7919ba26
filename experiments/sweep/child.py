"""A run in a process of its own, which can be ended when its time is up: alone, under loky and under Dask alike.

Each thread of a worker keeps one child and gives it run after run; a child is replaced only after it was ended or died.
Requests and replies go through pipes, framed by their lengths.
"""

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from .liveness import end_with
from .outcomes import Outcome, pack_curves, unpack_curves
from .specs import RunSpec

__all__ = ["run_in_child"]

_START = "from lastiterate.experiments.sweep.child import serve; serve()"
_own = threading.local()


def run_in_child(spec: RunSpec, device: str, expected_code: str | None, timeout_s: float) -> Outcome:
    """Execute a run in this thread's child; after ``timeout_s`` seconds end it, and whatever it started, as failed.

    The time of importing what the run needs counts; the start of the child itself does not.
    """
    child = getattr(_own, "child", None)
    if child is None or not child.alive:
        child = _own.child = _Child()
    return child.run({"spec": spec.to_json(), "device": device, "expected_code": expected_code}, timeout_s)


class _Child:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # so that all that the run starts ends with it
        )
        atexit.register(self.end)
        try:
            self._receive(None)
        except BaseException:
            self.end()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, request: dict[str, Any], timeout_s: float) -> Outcome:
        start = time.perf_counter()
        try:
            _send(self._process.stdin, json.dumps({**request, "folder": os.getcwd(), "path": sys.path}).encode())
            header, curves = self._receive(timeout_s)
        except TimeoutError:
            self.end()
            error = f"TimeoutError: no result within {timeout_s:g} s; the run was ended"
        except (EOFError, OSError):
            code = self._process.wait()
            self.end()
            error = f"the process of this run ended with {'signal' if code < 0 else 'code'} {abs(code)} and no result"
        except BaseException:  # an interrupt: the child must not go on alone
            self.end()
            raise
        else:
            return Outcome(**header, curves=unpack_curves(curves) if curves else {})
        return Outcome("failed", wall_s=time.perf_counter() - start, error=error)

    def _receive(self, timeout_s: float | None) -> tuple[dict[str, Any], bytes]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        header = json.loads(self._frame(deadline))
        return header, self._frame(deadline)

    def _frame(self, deadline: float | None) -> bytes:
        return self._read(int.from_bytes(self._read(8, deadline), "little"), deadline)

    def _read(self, count: int, deadline: float | None) -> bytes:
        pipe: Any = self._process.stdout
        parts = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while len(parts) < count:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                if not selector.select(left):
                    raise TimeoutError
                part = os.read(pipe.fileno(), count - len(parts))
                if not part:
                    raise EOFError
                parts += part
        return bytes(parts)

    def end(self) -> None:
        """End the child and its process group."""
        atexit.unregister(self.end)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


def serve() -> None:
    """Execute the runs that arrive on standard input until it closes; what they print goes to standard error."""
    end_with(os.getppid())
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    _send(replies, b"{}")
    _send(replies, b"")
    from .tasks import execute

    while size := requests.read(8):
        request = json.loads(requests.read(int.from_bytes(size, "little")))
        sys.path[:] = request["path"]
        os.chdir(request["folder"])
        outcome = execute(RunSpec.from_json(request["spec"]), request["device"], request["expected_code"])
        header = {
            "status": outcome.status,
            "metrics": dict(outcome.metrics),
            "wall_s": outcome.wall_s,
            "versions": dict(outcome.versions),
            "error": outcome.error,
        }
        _send(replies, json.dumps(header).encode())
        _send(replies, pack_curves(outcome.curves) if outcome.curves else b"")


def _send(pipe: Any, content: bytes) -> None:
    pipe.write(len(content).to_bytes(8, "little") + content)
    pipe.flush()
