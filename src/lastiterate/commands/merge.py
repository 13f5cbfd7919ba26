"""Command ``merge``: the best weights for saved checkpoints, what they are worth, and the merged file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import JsonFlag, PlotOption, emit
from ._schedules import factor, load
from .bounds import Distance, GradientBound, Horizon, save


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(merge)


def merge(
    schedule: Annotated[str, typer.Argument(help="The schedule of the run: a family or a schedule file.")],
    n_steps: Horizon = None,
    every: Annotated[int, typer.Option(help="Steps between checkpoints, counted back from the last step.")] = 1,
    last: Annotated[int, typer.Option(help="Number of checkpoints.")] = 10,
    base_lr: Annotated[
        float | None,
        typer.Option(
            help="Base learning rate of the run; tuned to the last iterate if absent, none for absolute steps."
        ),
    ] = None,
    D: Distance = 1.0,
    G: GradientBound = 1.0,
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="Checkpoint files, oldest first; one for each checkpoint.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the merge of the files goes.")] = Path("merged.pt"),
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Weigh the last checkpoints of a run so that the worst case of their merge is smallest; merge their files."""
    import lastiterate as li
    from lastiterate.theory.base.validation import InputError, check_count
    from lastiterate.theory.optimal.merge import optimal_merge

    given = load(schedule, n_steps, 1000)
    steps, base_lr = given.steps, factor(given, base_lr)
    count, gap = check_count(last, "--last"), check_count(every, "--every")
    if gap * (count - 1) > steps.size:
        most = steps.size // gap + 1
        raise InputError("--last", count, f"at most {most} checkpoints {gap} steps apart in {steps.size} steps")
    if files and len(files) != count:
        raise InputError("--file", f"{len(files)} files", f"{count}, one for each checkpoint")
    rate = li.tune_base_lr(steps, D=D, G=G).base_lr if base_lr is None else base_lr
    points = [steps.size - gap * i for i in range(count - 1, -1, -1)]
    best = optimal_merge(li.schedules.scale(steps, rate), points, D=D, G=G)
    shares = [float(best.weights[point]) for point in points]
    rows: list[dict[str, Any]] = [
        {"checkpoint": point, "weight": share} for point, share in zip(points, shares, strict=True)
    ]
    extra: dict[str, Any] = {
        "worst case at most": best.value,
        "at least": best.lower,
        "any weights at least": best.least,
        "equal weights": best.uniform,
        "last checkpoint alone": best.last,
        "kind": best.kind,
        "base_lr": rate,
    }
    if files:
        extra["merged into"] = str(_merged(files, shares, out))
    emit(rows, as_json=as_json, title=f"Merge of {count} checkpoints, {gap} steps apart, N = {steps.size}", extra=extra)
    if plot is not None:
        from matplotlib.figure import Figure

        from lastiterate.experiments.plots.averages import emulated

        figure = Figure(figsize=(6, 4), layout="constrained")
        emulated(best, ax=figure.subplots())
        save(figure, plot)


def _merged(files: list[Path], shares: list[float], out: Path) -> Path:
    """Write the average of the files, all at once or not at all."""
    import io

    import torch

    from lastiterate.experiments.training.merge import average_checkpoints
    from lastiterate.theory.base.files import write_atomically

    buffer = io.BytesIO()
    torch.save(average_checkpoints(files, shares), buffer)
    write_atomically(out, buffer.getvalue())
    return out
