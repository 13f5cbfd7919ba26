"""Runs shared among threads, beside a progress bar and an ear for Ctrl-C, and the room that a thread needs."""

import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, set_num_threads

from lastiterate.theory.base.validation import Array

__all__ = ["aligned", "share_out"]

_PATIENCE = 1.0  # seconds before a progress bar appears


def aligned(size: int) -> Array:
    """Return zeros that begin with a cache line: a vector instruction then touches one line, not two."""
    buffer = np.zeros(size + 7)
    first = -(buffer.ctypes.data // 8) % 8
    return buffer[first : first + size]


def share_out(
    run_some: Callable[[int, int], None],
    runs: int,
    together: bool,
    ticks: npt.NDArray[np.int64],
    n_steps: int,
    progress: bool | None,
) -> None:
    """Run all in threads, with a progress bar once it takes longer than a second; Ctrl-C stops at the next step.

    Python's threads do what Numba's parallel loops do, without the seconds that those take to compile.

    Parameters
    ----------
    run_some : callable
        Runs first..last-1 without holding the interpreter.
    runs : int
        How many.
    together : bool
        Whether one run has all of Numba's threads; otherwise every thread takes its share of the runs.
    ticks : ndarray of int64, shape (runs, 2)
        Steps done, and whether to stop (-1).
    n_steps, progress
        As in `simulate`.
    """
    threads = get_num_threads()
    bounds = np.linspace(0, runs, 1 + (1 if together else min(threads, runs))).astype(int).tolist()
    shares = list(pairwise(bounds))
    failures, ended = list[BaseException](), list[int]()
    done = threading.Event()  # after an interrupt, joining a thread no longer waits

    def work(first: int, last: int) -> None:
        try:
            if together:
                set_num_threads(threads)  # the setting belongs to the calling thread
            run_some(first, last)
        except BaseException as error:
            failures.append(error)
        finally:
            ended.append(first)
            if len(ended) == len(shares):
                done.set()

    for share in shares:
        threading.Thread(target=work, args=share, daemon=True).start()
    try:
        if not done.wait(None if progress is False else _PATIENCE):
            _watch(done, ticks, n_steps, progress)
    except KeyboardInterrupt:
        ticks[:, 1] = -1
        raise
    finally:
        done.wait()
    if failures:
        raise failures[0]


def _watch(done: threading.Event, ticks: npt.NDArray[np.int64], n_steps: int, progress: bool | None) -> None:
    from lastiterate.theory.base.progress import progress_bar

    with progress_bar("simulate", (n_steps + 1) * len(ticks), shown=progress, unit="steps") as update:
        while not done.wait(0.2):
            update(completed=int(ticks[:, 0].sum()))
