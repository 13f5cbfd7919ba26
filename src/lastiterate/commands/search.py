"""Command ``search``: near-optimal schedule shapes on an exact, a convex or a measured objective."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import JsonFlag, PlotOption, emit
from .sweep import DeviceOption, EngineOption, JobsOption, SchedulerOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(search)


def search(
    objective: Annotated[
        str,
        typer.Argument(
            help="linear-regression (exact expected loss), rate (the exact worst-case bound), "
            "problem:KIND:DATASET or workload:NAME."
        ),
    ] = "linear-regression",
    families: Annotated[
        str | None, typer.Option(help="Families (cosine:warmup_kind=cosine fixes an option), separated by commas.")
    ] = None,
    n_steps: Annotated[
        int | None, typer.Option("--steps", "-n", help="Horizon; the objective's own if absent.")
    ] = None,
    n_shapes: Annotated[int, typer.Option("--shapes", help="Budget in shapes per family.")] = 400,
    base_lrs: Annotated[
        str | None, typer.Option(help="Base learning rates: a,b,c or low:high:count on a logarithmic scale.")
    ] = None,
    n_seeds: Annotated[int, typer.Option("--seeds", help="Seeds per run of a random objective.")] = 3,
    method: Annotated[str, typer.Option(help="random, uniform, coordinate, halving, evolution or cma.")] = "random",
    optimizer: Annotated[str, typer.Option(help="Method or optimiser of the runs, with options.")] = "",
    batch_size: Annotated[int | None, typer.Option(help="Batch size for a convex problem.")] = None,
    descent: Annotated[int, typer.Option(help="Budget of coordinate descent around the best shape.")] = 0,
    free_form: Annotated[bool, typer.Option("--free-form", help="Also descend over every single step.")] = False,
    norms: Annotated[Path | None, typer.Option(help="Recorded gradient norms for the objective 'rate'.")] = None,
    weight_decay: Annotated[
        str | None, typer.Option(help="Weight decays, separated by commas: search the first family for each.")
    ] = None,
    store: Annotated[Path, typer.Option("--store", help="SQLite file of the runs of a measured objective.")] = Path(
        "search.db"
    ),
    engine: EngineOption = "loky",
    scheduler: SchedulerOption = None,
    n_jobs: JobsOption = None,
    device: DeviceOption = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="CSV file of every shape that was tried, for pandas.")] = None,
    optuna: Annotated[Path | None, typer.Option(help="SQLite file of every shape that was tried, for optuna.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Search schedule families: shapes x base learning rates x seeds, then the best of each family."""
    from lastiterate.experiments.sweep.sweep import open_engine
    from lastiterate.theory.base.validation import InputError

    from ._search_run import SearchRequest, search_table, weight_decay_table
    from .bounds import save

    if weight_decay is not None and (csv is not None or optuna is not None):
        option, path = ("--csv", csv) if csv is not None else ("--optuna", optuna)
        raise InputError(option, str(path), "a search without --weight-decay")
    with ExitStack() as stack:
        is_measured = objective.startswith("workload:")
        request = SearchRequest(
            objective=objective,
            families=None if families is None else [name.strip() for name in families.split(",")],
            n_steps=n_steps,
            base_lrs=base_lrs,
            optimizer=optimizer,
            batch_size=batch_size,
            norms=norms,
            store=store,
            workers=stack.enter_context(open_engine(engine, n_jobs=n_jobs, scheduler=scheduler, device=device))
            if is_measured
            else None,
            device=device,
        )
        options: dict[str, Any] = {
            "n_shapes": n_shapes,
            "n_seeds": n_seeds,
            "method": method,
            "descent": descent,
            "seed": seed,
        }
        if weight_decay is None:
            title, rows, figure = search_table(request, options, free_form=free_form, csv=csv, optuna=optuna)
        else:
            title, rows, figure = weight_decay_table(request, options, weight_decay)
    extra: dict[str, Any] = {"objective": title, "method": method, "seed": seed}
    if as_json:
        emit(rows, as_json=True, extra=extra)
    else:  # specifications are long: they follow the table, and columns without a value stay out of it
        shown = [name for name in rows[0] if name != "schedule" and any(row[name] is not None for row in rows)]
        first = next(iter(rows[0]))
        schedules = {f"{row[first]}": _six_digits(row["schedule"]) for row in rows if row["schedule"]}
        emit([{name: row[name] for name in shown} for row in rows], as_json=False, title=title, extra=schedules)
    if plot is not None:
        save(figure(), plot)


def _six_digits(text: str) -> str:
    """Shorten the numbers of a specification: it is to be read and copied, and JSON has every digit.

    >>> _six_digits("cosine:warmup=0.01543238153681159")
    'cosine:warmup=0.0154324'
    """
    return re.sub(r"\d+\.\d{7,}(e-?\d+)?", lambda number: f"{float(number[0]):.6g}", text)
