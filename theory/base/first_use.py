"""Say once that a loop is being compiled: the first call takes seconds, and nothing else would tell why."""

import functools
import sys
from typing import Any

__all__ = ["announce_compilation"]

TEXT = "lastiterate compiles a loop: some seconds now, later runs read it from a cache"


@functools.cache
def announce_compilation() -> None:
    """Let Numba tell when it compiles a function of this package; a function read from its cache is none.

    The line goes to standard error, once a process, and only where somebody watches.
    """
    from numba.core import event

    class Listener(event.Listener):
        told = False

        def on_start(self, event: Any) -> None:
            function = event.data["dispatcher"].py_func
            if not self.told and function.__module__.startswith("lastiterate."):
                self.told = True
                _tell()

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Listener())


def _tell() -> None:
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal or console.is_jupyter:
        print(TEXT, file=sys.stderr)  # not by the console: a progress bar makes room for what passes sys.stderr
