"""Commands ``design``, ``optimal`` and ``continue``: the best schedule with, and without, constraints."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._norms import gradient_bound, gradient_bounds
from ._output import JsonFlag, PlotOption, emit
from ._schedules import factor, load

Horizon = Annotated[int, typer.Option("--steps", "-n", help="Number of steps N.")]
Distance = Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")]
Gradient = Annotated[str, typer.Option("-G", "--gradient", help="Bound on the subgradient norm, or a file of norms.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Schedule file of absolute steps: .json or .csv.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(design)
    app.command()(optimal)
    app.command("continue")(continue_)


def design(
    n_steps: Horizon = 1000,
    D: Distance = 1.0,
    G: Gradient = "1",
    max_step: Annotated[float | None, typer.Option(help="Upper limit on every step.")] = None,
    min_step: Annotated[float | None, typer.Option(help="Lower limit on every step.")] = None,
    monotone: Annotated[bool, typer.Option("--monotone", help="Never increase after warm-up.")] = False,
    warmup: Annotated[int | None, typer.Option(help="Steps of linear warm-up.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Length of blocks (epochs) of equal learning rate.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Schedule file of the steps already taken.")] = None,
    tail: Annotated[str | None, typer.Option(help="Schedule file of the steps fixed at the end.")] = None,
    budget: Annotated[float | None, typer.Option(help="Upper limit on the sum of the steps.")] = None,
    max_ratio: Annotated[float | None, typer.Option(help="Largest ratio of neighbouring steps.")] = None,
    out: Out = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Design the schedule with the least worst case under constraints."""
    from lastiterate.solvers.design.design import design_schedule

    caps = gradient_bounds(G)
    found = design_schedule(
        n_steps,
        D,
        caps,
        max_step=max_step,
        min_step=min_step,
        monotone=monotone,
        warmup=warmup,
        blocks=blocks,
        prefix=None if prefix is None else _absolute("--prefix", prefix),
        tail=None if tail is None else _absolute("--tail", tail),
        budget=budget,
        max_ratio=max_ratio,
    )
    rows = [{"schedule": "designed", "rate": found.value, "over no constraints": 1.0 + found.excess}]
    extra = {
        "lower bound": found.lower_bound,
        "gap": found.gap,
        "without constraints": found.unconstrained,
        "constraint residual": found.residual,
        "seconds": found.seconds,
    }
    _write(found.steps, out, "design", extra)
    if plot is not None:
        _plot({"designed": found.steps}, plot)
    emit(rows, as_json=as_json, title=f"Design, N = {n_steps}", extra=_with_steps(extra, found.steps, as_json))


def optimal(
    n_steps: Horizon = 1000,
    D: Distance = 1.0,
    G: Gradient = "1",
    momentum: Annotated[
        bool, typer.Option("--momentum", help="What momentum can gain in the worst case (at most 15 steps).")
    ] = False,
    starts: Annotated[int, typer.Option(help="Random starts of each optimisation with --momentum.")] = 4,
    out: Out = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Print the worst-case-optimal schedule; with --momentum optimise momentum and schedule jointly."""
    if momentum:
        _optimal_momentum(n_steps, D, gradient_bound(G), starts, as_json, plot)
        return
    import lastiterate as li

    best = li.optimal_schedule(n_steps, D=D, G=gradient_bounds(G))
    rows = [
        {"training done": f"{share:.0%}", "step": float(best.steps[min(round(share * n_steps), n_steps - 1)])}
        for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    ]
    extra = {"rate": best.value, "largest step": float(best.steps.max())}
    _write(best.steps, out, "optimal", extra)
    if plot is not None:
        _plot({"optimal": best.steps}, plot)
    emit(rows, as_json=as_json, title=f"Optimal schedule, N = {n_steps}", extra=_with_steps(extra, best.steps, as_json))


def continue_(
    prefix: Annotated[
        str, typer.Argument(help="Schedule file of the steps taken, or a family such as linear; with --seen a log.")
    ],
    n_steps: Annotated[int, typer.Option("--steps", "-n", help="Number of new steps.")],
    seen: Annotated[bool, typer.Option("--seen", help="Plan from the norms and learning rates in a log.")] = False,
    column: Annotated[str | None, typer.Option(help="With --seen: column of the norms.")] = None,
    lr_column: Annotated[str, typer.Option(help="With --seen: column of the learning rates.")] = "lr",
    inner_products: Annotated[
        Path | None, typer.Option(help="With --seen: npy file of the inner products of the subgradients.")
    ] = None,
    cap: Annotated[float | None, typer.Option(help="With --seen: upper limit on the new steps.")] = None,
    rollback: Annotated[
        str | None, typer.Option(help="With --seen: iterates to roll back to if that is better, such as 500,1000.")
    ] = None,
    n_prefix: Annotated[int | None, typer.Option(help="Steps of the prefix; 1000, or that of a file.")] = None,
    base_lr: Annotated[
        float | None, typer.Option(help="Factor on the prefix; tuned to it if absent, none for absolute steps.")
    ] = None,
    D: Distance = 1.0,
    G: Gradient = "1",
    out: Out = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Extend a run that was already trained: the best steps after a given prefix."""
    if seen:
        from ._seen import continue_seen

        limit = gradient_bounds(G) if G != "1" else None
        continue_seen(
            Path(prefix),
            n_steps,
            cap,
            rollback,
            D,
            limit,
            out,
            as_json,
            plot,
            column=column,
            lr_column=lr_column,
            inner_products=inner_products,
            base_lr=1.0 if base_lr is None else base_lr,
        )
        return
    import numpy as np

    import lastiterate as li

    given = load(prefix, n_prefix, 1000)
    taken, base_lr = given.steps, factor(given, base_lr)
    caps = gradient_bounds(G)
    if base_lr is None:
        first = caps if np.ndim(caps) == 0 else caps[: taken.size + 1]
        base_lr = float(li.tune_base_lr(taken, D=D, G=first).base_lr)
    taken = li.schedules.scale(taken, base_lr)
    rest = li.optimal_continuation(prefix=taken, n_steps=n_steps, D=D, G=caps)
    rows = [
        {"run": "stopped after the prefix", "rate": rest.prefix_value},
        {"run": "continued", "rate": rest.value},
        {"run": "optimal from scratch", "rate": rest.scratch_value},
    ]
    extra = {"first new step": float(rest.steps[0]), "last step taken": float(taken[-1])}
    _write(rest.steps, out, "continue", extra)
    if plot is not None:
        _plot({"continued": np.concatenate([taken, rest.steps]), "taken": taken}, plot)
    title = f"{taken.size} steps taken, {n_steps} to come"
    emit(rows, as_json=as_json, title=title, extra=_with_steps(extra, rest.steps, as_json))


def _optimal_momentum(n_steps: int, D: float, G: float, starts: int, as_json: bool, plot: Path | None) -> None:
    from lastiterate.solvers.design.momentum import design_momentum

    found = design_momentum(n_steps, D, G, starts=starts)
    if plot is not None:
        from lastiterate.experiments.plots.momentum import momentum_schedules

        from .bounds import save

        save(momentum_schedules(found), plot)
    extra = {"DG/sqrt(N+1)": found.optimum, "starts": starts}
    emit(found.table(), as_json=as_json, title=f"Momentum in the worst case, N = {n_steps}", extra=extra)


def _absolute(option: str, text: str) -> Any:
    """Return the learning rates in a schedule file; multipliers would leave their size open."""
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.schedules.files import read_schedule_file

    found = read_schedule_file(text)
    if not found.absolute:
        raise InputError(option, f"{text}, a file of multipliers", 'a file of the kind "steps" (csv: step_size)')
    return found.values


def _write(steps: Any, out: Path | None, command: str, facts: dict[str, Any]) -> None:
    """Write the steps as they are: learning rates that no base learning rate may scale."""
    if out is None:
        return
    from lastiterate.theory.schedules.files import write_schedule

    write_schedule(steps, out, {"command": command, **facts}, kind="steps")


def _with_steps(extra: dict[str, Any], steps: Any, as_json: bool) -> dict[str, Any]:
    return {**extra, "steps": steps.tolist()} if as_json else extra


def _plot(schedules: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    import lastiterate as li

    from .bounds import save

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    li.plots.schedules(schedules, ax=figure.subplots())
    save(figure, path)
