"""Command ``sweep``: many runs, resumable, on this machine or a cluster; their progress; their results as CSV."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ._output import JsonFlag, PlotOption, emit, tell
from ._table import lines

StoreOption = Annotated[Path, typer.Option("--store", help="SQLite file of results.")]
EngineOption = Annotated[str, typer.Option(help="Where runs execute: loky (this machine) or dask (a cluster).")]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:8786; without it a local cluster starts.")
]
JobsOption = Annotated[
    int | None,
    typer.Option("--n-jobs", "--jobs", "-j", help="Workers; by default one per device or core, 1 for this process."),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda (one worker per visible device), or one torch device.")]

SHOWN = 20
"""Rows and failures that are listed; all of them are in the exported table."""

sweep = typer.Typer(help="Run many specifications into a store, resume, watch, export.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(sweep, name="sweep")


@sweep.command()
def run(
    file: Annotated[
        Path | None, typer.Argument(help="TOML file with tables named grid and run; without it the store's runs go on.")
    ] = None,
    store: StoreOption = Path("runs.db"),
    engine: EngineOption = "loky",
    scheduler: SchedulerOption = None,
    n_jobs: JobsOption = None,
    device: DeviceOption = "cpu",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed before.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds a run may take; it then fails and the others go on.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric of the picture; by default the first.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Execute the runs that the store does not have; exit code 1 if some failed or were rejected."""
    from lastiterate.experiments.sweep.sweep import Store, read_sweep, run_sweep

    specs = _unfinished(store, retry_failed) if file is None else read_sweep(file)
    result = run_sweep(
        specs,
        store,
        engine=engine,
        n_jobs=n_jobs,
        scheduler=scheduler,
        device=device,
        retry_failed=retry_failed,
        timeout_s=timeout,
    )
    failed = result.failed
    if file is None:
        with Store(store, must_exist=True) as opened:
            is_current = _judge()
            current = (run for run in opened.iterate() if is_current(run.spec.target, run.code_version))
            n_runs = sum(is_current(target, code) for target, code, _, _ in opened.overview())
            whole = as_json or plot is not None
            result = replace(result, records=tuple(current if whole else islice(current, SHOWN)))
            failures = opened.iterate(status="failed")
            failed = [run for run in failures if is_current(run.spec.target, run.code_version)]
    else:
        n_runs = len(result.records)
    rows = result.table()
    extra = {"store": str(store), "executed now": result.n_executed, "runs": n_runs, "failed": len(failed)}
    if n_runs > SHOWN and not as_json:
        extra["shown"] = f"{SHOWN} of {n_runs} runs; lastiterate sweep export writes all"
    emit(rows if as_json else rows[:SHOWN], as_json=as_json, title=_runs(n_runs), extra=extra)
    rejected = _by_reason((reason, str(index)) for index, reason in result.rejected.items())
    for reason, runs in islice(rejected.items(), SHOWN):
        tell(f"{_were('run', runs)} rejected: {reason}")
    # with spaces, where a terminal may break the line
    failures = _by_reason((str(record.error), json.dumps(json.loads(record.spec.to_json()))) for record in failed)
    for reason, runs in islice(failures.items(), SHOWN):
        tell(f"{runs[0]}{f' and {len(runs) - 1} more' if len(runs) > 1 else ''} failed: {reason}")
    if plot is not None:
        _plot(rows, metric, plot)
    if failed or result.rejected:
        raise typer.Exit(1)


def _by_reason(found: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Runs by what went wrong, so that one mistake in a grid is told once."""
    runs: dict[str, list[str]] = {}
    for reason, run in found:
        runs.setdefault(reason, []).append(run)
    return runs


def _runs(count: int) -> str:
    """Return a count with its noun.

    >>> _runs(1), _runs(2)
    ('1 run', '2 runs')
    """
    return f"{count} run{'' if count == 1 else 's'}"


def _were(word: str, runs: list[str]) -> str:
    """Name the first of some runs and count the others, with their verb.

    >>> _were("run", ["3"]), _were("run", ["3", "4", "5"])
    ('run 3 was', 'run 3 and 2 more were')
    """
    return f"{word} {runs[0]} was" if len(runs) == 1 else f"{word} {runs[0]} and {len(runs) - 1} more were"


def _unfinished(store: Path, retry_failed: bool) -> list[Any]:
    """Specifications that the store has no result for with the code as it is now, each once."""
    from lastiterate.experiments.sweep.sweep import RunSpec, Store

    finished = ("done", "diverged") if retry_failed else ("done", "diverged", "failed")
    is_current = _judge()
    with Store(store, must_exist=True) as opened:
        seen = [
            (text, status in finished and is_current(target, code)) for target, code, status, text in opened.overview()
        ]
    done = {text for text, is_done in seen if is_done}
    return [RunSpec.from_json(text) for text in dict.fromkeys(text for text, _ in seen) if text not in done]


def _judge() -> Callable[[str, str], bool]:
    """Return a function that says whether a version of the code is the present one of a target."""
    from lastiterate.experiments.sweep.code import code_version
    from lastiterate.experiments.sweep.sweep import RunSpec

    codes: dict[str, str] = {}

    def is_current(target: str, code: str) -> bool:
        if target not in codes:
            codes[target] = code_version(RunSpec(target))
        return code == codes[target]

    return is_current


@sweep.command()
def status(store: StoreOption = Path("runs.db"), as_json: JsonFlag = False) -> None:
    """Show how far a sweep is, who works on it, what failed, and how long the rest will take."""
    from lastiterate.experiments.sweep.store import Store

    with Store(store, must_exist=True) as opened:
        progress = opened.progress()
        failures = opened.records(status="failed", limit=SHOWN)
    rows = [{"status": name, "runs": count} for name, count in progress.counts.items()]
    extra = {
        "drivers at work": progress.n_drivers,
        "workers": progress.n_workers,
        "mean seconds a run": progress.mean_wall_s,
        "seconds left (estimate)": progress.remaining_s,
        "failures": [{"run": record.spec.to_json(), "error": record.error} for record in failures]
        if as_json
        else [
            f"{_runs(len(runs))}: {reason}"
            for reason, runs in _by_reason((str(record.error), record.spec.to_json()) for record in failures).items()
        ],
    }
    emit(rows, as_json=as_json, title=_runs(progress.n_runs), extra={"store": str(store), **extra})


@sweep.command()
def export(
    out: Annotated[Path, typer.Argument(help="CSV file to write.")],
    store: StoreOption = Path("runs.db"),
    as_json: JsonFlag = False,
) -> None:
    """Write all runs of a store to a CSV file, one line a run."""
    from lastiterate.experiments.sweep.store import Store
    from lastiterate.experiments.sweep.store_export import export_csv

    with Store(store, must_exist=True) as opened:
        count = export_csv(opened, out)
    if as_json:
        emit([{"file": str(out), "runs": count}], as_json=True, extra={"store": str(store)})
    else:
        lines(Console(), f"{_runs(count)} written to {out}")


def _plot(rows: list[dict[str, Any]], metric: str | None, path: Path) -> None:
    from matplotlib.figure import Figure

    import lastiterate as li
    from lastiterate.theory.base.validation import check_choice

    from .bounds import save

    names = list(rows[0])[list(rows[0]).index("status") + 1 :] if rows else []
    chosen = metric or ("final" if "final" in names else "loss" if "loss" in names else next(iter(names), ""))
    figure = Figure(figsize=(5.4, 4.0), layout="constrained")
    li.plots.sweep(rows, check_choice(chosen, "--metric", names), ax=figure.subplots())
    save(figure, path)
