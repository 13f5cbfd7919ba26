"""One progress bar for all long work: on standard error, with an estimate, gone when the work is done.

It shows in a terminal and in Jupyter.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["is_watched", "progress_bar"]

_open: ContextVar[bool] = ContextVar("_open", default=False)
"""Whether a bar is shown: one that begins inside its block stays hidden, since a terminal shows one at a time."""


def is_watched(console: "Console") -> bool:
    """Return whether somebody sees what a console shows for a moment: a terminal, or Jupyter with ipywidgets."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


@contextmanager
def progress_bar(
    description: str, total: float | None = None, *, shown: bool | None = None, unit: str = ""
) -> Generator[Callable[..., None]]:
    """Show a bar while the block runs, unless another is shown already, and yield the function that moves it.

    Parameters
    ----------
    description : str
        What is being done.
    total : float, optional
        Amount of work in units of ``unit``; it may grow.
    shown : bool, optional
        Whether to show the bar; by default on a terminal and in Jupyter (``lastiterate[notebook]``) only.
    unit : str
        Named behind the counts; an empty unit hides them.

    Yields
    ------
    callable
        ``update(completed=..., advance=..., total=..., description=...)``, every argument optional.

    Examples
    --------
    >>> with progress_bar("runs", 2, shown=False) as update:
    ...     update(advance=1)
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, force_terminal=True if shown else None)
    counts = (MofNCompleteColumn(), TextColumn(unit)) if unit else ()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counts)
    hidden = _open.get() or not (is_watched(console) if shown is None else shown)
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True, disable=hidden
    ) as bar:
        task = bar.add_task(description, total=total)

        def update(**changes: Any) -> None:
            bar.update(task, **changes)

        before = _open.set(_open.get() or not hidden)
        try:
            yield update
        finally:
            _open.reset(before)
