"""``continue --seen``: replanning a run from its own log."""

from pathlib import Path
from typing import Any

from ._norms import column_of
from ._output import emit


def continue_seen(
    log: Path,
    n_steps: int,
    cap: float | None,
    rollback: str | None,
    D: float,
    G: float | None,
    out: Path | None,
    as_json: bool,
    plot: Path | None,
    *,
    column: str | None,
    lr_column: str,
    inner_products: Path | None,
    base_lr: float,
) -> None:
    """Print and write the best remaining steps after what a log tells."""
    import numpy as np

    from lastiterate.solvers.replan import replan
    from lastiterate.theory.base.validation import InputError

    taken, norms = _taken(log, column, lr_column, base_lr)
    products = None if inner_products is None else np.load(inner_products, allow_pickle=False)
    try:
        checkpoints = None if rollback is None else [int(part) for part in rollback.split(",")]
    except ValueError as error:
        raise InputError("--rollback", rollback, "integers with commas between them") from error
    plan = replan(taken, norms, n_steps, products, cap, D=D, G=G, checkpoints=checkpoints)
    rows = [
        {"run": "stopped now", "bound": plan.stop_value},
        {"run": "continued without what was seen", "bound": plan.minimax_value},
        {"run": "continued with it", "bound": plan.value},
    ]
    extra: dict[str, Any] = {
        "continue from iterate": plan.start,
        "first new step": float(plan.steps[0]),
        "last step taken": float(taken[-1]),
        "kind": plan.kind,
    }
    if out is not None:
        from lastiterate.theory.schedules.files import write_schedule

        write_schedule(plan.steps, out, {"command": "continue --seen", "base_lr": 1.0, "source": str(log), **extra})
    if plot is not None:
        from lastiterate.experiments.plots.replan import draw_replan

        from .bounds import save

        save(draw_replan(plan, taken, norms), plot)
    if as_json:
        extra["steps"] = plan.steps.tolist()
    emit(rows, as_json=as_json, title=f"{taken.size} steps seen, {n_steps} to come", extra=extra)


def _taken(log: Path, column: str | None, lr_column: str, base_lr: float) -> tuple[Any, Any]:
    """Steps taken and norms met, one a step: what is logged every few steps is interpolated."""
    import numpy as np

    from lastiterate.experiments.logs.formats import read_table
    from lastiterate.experiments.logs.norms import read_norms
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.optimal.refinement import to_horizon

    found = read_norms(log, column=column or column_of(log, "l2"), positions="steps")
    table = read_table(log)
    if lr_column not in table.columns:
        raise InputError("--lr-column", lr_column, f"a column of learning rates among {', '.join(table.columns)}")
    rates, span = table.series(lr_column), found.span
    wanted = np.linspace(*(span or (rates.steps[0], rates.steps[-1])), found.horizon)
    norms = to_horizon(found.norms, found.horizon, found.positions, span)
    return np.interp(wanted, rates.steps, rates.values) * base_lr, norms
