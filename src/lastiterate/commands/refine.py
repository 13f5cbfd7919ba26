"""Command ``refine``: gradient norms of a run in, schedule of the next run out."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from ._norms import column_of
from ._output import JsonFlag, PlotOption, emit, tell

LARGE_GAIN = 2.0


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(refine)


def refine(
    log: Annotated[Path, typer.Argument(help="CSV, W&B export, npy, npz, JSONL, trainer_state.json or TensorBoard.")],
    rule: Annotated[str, typer.Option(help="sgd for L2 norms (power -2), adam for L1 norms (power -1).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Schedule file: .json, .csv or .npy.")] = Path(
        "schedule.json"
    ),
    column: Annotated[str | None, typer.Option(help="Column of the norms, if there are several.")] = None,
    n_steps: Annotated[
        int | None,
        typer.Option("--steps", "-n", "--horizon", help="Steps of the next run; default those of the log."),
    ] = None,
    smoothing: Annotated[float, typer.Option(help="Width of the median filter, a fraction of training.")] = 0.1,
    step_column: Annotated[str | None, typer.Option(help="Column that counts training steps, if not known.")] = None,
    positions: Annotated[
        str | None, typer.Option(help="Norms are at their steps (steps, the default with a step column), or rows.")
    ] = None,
    trim: Annotated[int | None, typer.Option(help="Rows left out at both ends; default 2 for W&B exports.")] = None,
    drop_bad: Annotated[
        bool, typer.Option("--drop-bad", help="Leave out norms that are not positive and finite.")
    ] = False,
    salvage: Annotated[bool, typer.Option("--salvage", help="Keep the sound part of a damaged log.")] = False,
    known_within: Annotated[
        float, typer.Option(help="Factor within which the norms of the next run are known; 1: as published.")
    ] = 1.0,
    snippet: Annotated[str | None, typer.Option(help="Print code that uses it: torch, hf, lightning or optax.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Refine a schedule from the gradient norms of a previous run and write it to a file."""
    from lastiterate.experiments.integrations.snippets import snippet as code
    from lastiterate.experiments.logs.norms import read_norms
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.optimal.refinement import NORM_OF_RULE
    from lastiterate.theory.optimal.refinement import refine as compute
    from lastiterate.theory.optimal.refinement_limits import norm_limits
    from lastiterate.theory.schedules.files import write_schedule

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = read_norms(
            log,
            column=column or column_of(log, NORM_OF_RULE.get(rule, "l2")),
            step_column=step_column,
            positions=positions,  # type: ignore[arg-type]
            trim=trim,
            drop_bad=drop_bad,
            salvage=salvage,
        )
        wanted: Any = {"rule": rule, "smoothing": smoothing, "n_steps": n_steps, "known_within": known_within}
        refinement = compute(found, **wanted)
        limits = norm_limits(found, refinement)
    other = {"l1": "l2", "l2": "l1"}[NORM_OF_RULE[rule]]
    if other in found.column.lower():
        raise InputError("rule", f"{rule} with the column {found.column!r}", f"norms of the kind {NORM_OF_RULE[rule]}")
    text = None if snippet is None else code(snippet, out, refinement.steps.size, rule)
    provenance = {
        "source": str(log),
        "column": found.column,
        "rule": rule,
        "smoothing": smoothing,
        "known_within": known_within,
        "gain": refinement.gain,
        "degenerate": refinement.degenerate,
        "step_column": found.step_column,
        "notes": list(found.notes),
        "limits": list(limits.findings),
    }
    write_schedule(refinement.steps, out, provenance)
    if plot is not None:
        _plot(found, refinement, plot)
    fractions = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99]
    n = refinement.steps.size
    rows: list[dict[str, Any]] = [
        {"training done": f"{fraction:.0%}", "multiplier": float(refinement.steps[min(round(fraction * n), n - 1)])}
        for fraction in fractions
    ]
    extra: dict[str, Any] = {
        "schedule": str(out),
        "norms": f"{len(found)} from column {found.column!r} ({found.kind})",
        "horizon": n,
        "horizon counts": f"steps, of column {found.step_column!r}" if found.step_column else "rows of the log",
        "predicted gain over linear decay": refinement.gain,
        "peak": refinement.peak,
        "degenerate": refinement.degenerate,
        "why such a gain": refinement.explain_gain() if refinement.gain > LARGE_GAIN else None,
        "notes": "; ".join(found.notes) or None,
        "guaranteed gain": refinement.guaranteed_gain if known_within > 1.0 else None,
        "limits": "; ".join(limits.findings) or None,
    }
    if as_json and text is not None:
        extra["snippet"] = text
    emit(rows, as_json=as_json, title=f"Refined schedule, {rule} rule", extra=extra)
    for warning in caught:
        tell(str(warning.message), label="warning")
    if text is not None and not as_json:
        typer.echo(text)


def _plot(found: Any, refinement: Any, path: Path) -> None:
    from matplotlib.figure import Figure

    import lastiterate as li

    from .bounds import save

    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1)
    li.plots.norms(found, refinement.smoothed, ax=above)
    li.plots.refinement(refinement, ax=below)
    save(figure, path)
