"""A progress bar for interior-point solves, on standard error."""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def solver_progress(wanted: bool | None) -> Generator[Callable[[int, int, float], None]]:
    """Yield a function of (round, iteration, relative gap); the bar counts the decimals of the gap, eleven in all."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not (console.is_terminal if wanted is None else wanted)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("semidefinite program", total=11.0, state="")

        def report(rounds: int, iteration: int, gap: float) -> None:
            decimals = min(11.0, max(0.0, -math.log10(max(gap, 1e-11)))) if iteration else 0.0
            bar.update(task, completed=decimals, state=f"round {rounds + 1}, iteration {iteration}, gap {gap:.0e}")

        yield report
