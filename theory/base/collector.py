"""Compilation without the garbage collector, which takes a sixth of its time and finds next to nothing."""

import functools
import gc
from typing import Any

__all__ = ["pause_collector"]


@functools.cache
def pause_collector() -> None:
    """Let Numba's compilations of this process run without collections of cyclic garbage; a caller's choice stays."""
    from numba.core import event

    class Listener(event.Listener):
        depth, paused = 0, False  # compilations nest, and Numba lets one thread compile at a time

        def on_start(self, event: Any) -> None:
            if self.depth == 0 and gc.isenabled():
                gc.disable()
                self.paused = True
            self.depth += 1

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0 and self.paused:
                self.paused = False
                gc.enable()

    event.register("numba:compile", Listener())
