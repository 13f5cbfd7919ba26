"""Command ``worst-case``: the exact worst case of a method by semidefinite programming."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._norms import gradient_bounds, told
from ._output import JsonFlag, PlotOption, emit
from .bounds import GradientBounds

METHODS = ("sgd", "momentum", "spa", "primal-averaging", "dual-averaging")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("worst-case")(worst_case)


def worst_case(
    schedule: Annotated[str, typer.Argument(help="A family such as linear, a schedule file, or a matrix H (.npy).")],
    n_steps: Annotated[
        int | None, typer.Option("--steps", "-n", help="Number of steps N; 20, or that of a file.")
    ] = None,
    method: Annotated[str, typer.Option(help=", ".join(METHODS) + ".")] = "sgd",
    momentum: Annotated[
        float, typer.Option("--momentum", "--beta", help="Momentum; for spa the averaging weight is 1 - momentum.")
    ] = 0.9,
    base_lr: Annotated[
        float | None,
        typer.Option(
            help="Base learning rate; if absent the one that is best for SGD, times 1 - momentum for momentum."
        ),
    ] = None,
    at: Annotated[str, typer.Option(help="last or average iterate.")] = "last",
    D: Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")] = 1.0,
    G: GradientBounds = "1",
    solver: Annotated[str, typer.Option(help="Semidefinite solver.")] = "CLARABEL",
    time_limit: Annotated[float | None, typer.Option(help="Seconds; then the best certified bounds.")] = None,
    low_rank: Annotated[bool, typer.Option("--low-rank", help="Look for a worst case in few dimensions.")] = False,
    prove: Annotated[bool, typer.Option("--prove", help="Prove the upper bound in exact arithmetic.")] = False,
    certificate: Annotated[Path | None, typer.Option(help="Write the certificate to this JSON file.")] = None,
    function: Annotated[Path | None, typer.Option(help="Write the worst-case function to this npz file.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Compute the exact worst case of f(x_N) - f* for a fixed-step method, between certified bounds."""
    import numpy as np

    from lastiterate.solvers.worst_case.solve import worst_case as solve
    from lastiterate.theory.base.validation import check_gradient_bounds

    caps = gradient_bounds(G)
    H, used = _step_matrix(schedule, n_steps, method, momentum, base_lr, D, caps)
    result = solve(H, D=D, G=caps, at=at, solver=solver, time_limit=time_limit)
    found = result.low_rank_function() if low_rank else result.function
    unit = D * float(np.sum(check_gradient_bounds(caps, len(H) - 1) ** -2.0)) ** -0.5
    row: dict[str, Any] = {
        "worst case": result.value,
        "over DG/sqrt(N+1)" if isinstance(caps, float) else "over D/sqrt(sum 1/G_k^2)": result.value / unit,
        "lower": result.lower,
        "gap": result.relative_gap,
        "status": result.status,
        "dimension": found.dim,
        "seconds": result.seconds,
    }
    if prove:
        row["proved"] = float(result.certificate().prove())
    if certificate is not None:
        result.certificate().to_json(certificate)
    if function is not None:
        from lastiterate.theory.problems.files import write_function

        write_function(found, function)
    if plot is not None:
        _plot(result, found, plot)
    extra = {"schedule": schedule, "method": method, "n_steps": len(H) - 1, "base_lr": used, "at": at, "D": D}
    extra["G"] = told(caps, G, as_json=as_json)
    rows = [row] if as_json else [{"quantity": name, "value": value} for name, value in row.items()]
    emit(rows, as_json=as_json, title=f"{method}, {schedule}, N = {len(H) - 1}", extra=extra)


def _plot(result: Any, found: Any, path: Path) -> None:
    from matplotlib.figure import Figure

    import lastiterate as li

    from .bounds import save

    if found.dim <= 2:
        figure = Figure(figsize=(5.5, 4), layout="constrained")
        li.plots.function(found, result.H, ax=figure.subplots())
    else:
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        li.plots.worst_case(result, ax=left)
        li.plots.multipliers(result, ax=right)
    save(figure, path)


def _step_matrix(
    schedule: str, n_steps: int | None, method: str, momentum: float, base_lr: float | None, D: float, G: Any
) -> tuple[Any, float | None]:
    """Return the step matrix and the base learning rate that was used."""
    import numpy as np

    import lastiterate as li
    from lastiterate.theory.base.validation import InputError, check_choice, check_fraction

    from ._schedules import factor, load

    check_choice(method, "--method", METHODS)
    check_fraction(momentum, "--momentum")
    if Path(schedule).suffix == ".npy" and np.load(schedule, allow_pickle=False).ndim == 2:
        H = li.step_matrix.check_step_matrix(np.load(schedule, allow_pickle=False))
        if n_steps not in (None, len(H) - 1):
            raise InputError("--steps", n_steps, f"{len(H) - 1}, the number of steps of the matrix")
        return H, None
    given = load(schedule, n_steps, 20 if isinstance(G, float) else G.size)
    shape, base_lr = given.steps, factor(given, base_lr)
    if base_lr is None:
        base_lr = float(li.tune_base_lr(shape, D=D, G=G).base_lr) * (1.0 - momentum if method == "momentum" else 1.0)
    steps = li.schedules.scale(shape, base_lr)
    if method == "sgd":
        return li.step_matrix.sgd(steps), base_lr
    if method == "momentum":
        return li.step_matrix.momentum(steps, momentum), base_lr
    if method == "spa":
        return li.step_matrix.spa(steps, 1.0 - momentum), base_lr
    if method == "primal-averaging":
        return li.step_matrix.primal_averaging(steps), base_lr
    return li.step_matrix.dual_averaging(steps, np.ones(steps.size)), base_lr
