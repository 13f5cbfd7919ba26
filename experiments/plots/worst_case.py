"""Pictures of worst cases: the function in one or two dimensions, the gap along the run, the multipliers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lastiterate.theory.base.validation import Array, InputError

if TYPE_CHECKING:
    from lastiterate.solvers.worst_case.function import WorstCaseFunction
    from lastiterate.solvers.worst_case.solve import WorstCase

ACCENT, DARK = "#0072B2", "#D55E00"


def plot_function(function: "WorstCaseFunction", H: Any = None) -> Any:
    """Draw a function of one or two variables, with the run of a method; return a matplotlib figure."""
    if function.rank not in (1, 2):
        raise InputError("function", f"a function of {function.rank} variables", "one of 1 or 2 variables")
    path = function.path(H) if H is not None else function.x0[None, :]
    return (_plot_line if function.rank == 1 else _plot_plane)(function, path)


def _plot_line(function: "WorstCaseFunction", path: Array) -> Any:
    figure, axes = _figure()
    points = np.concatenate([path[:, 0], function.x_star])
    margin = 0.15 * float(np.ptp(points)) or 1.0
    x = np.linspace(points.min() - margin, points.max() + margin, 400)
    axes.plot(x, [function.value([value]) for value in x], color=ACCENT)
    axes.plot(path[:, 0], [function.value(point) for point in path], "o-", color=DARK, markersize=4, linewidth=0.8)
    axes.plot(function.x_star, [function.f_star], "k*", markersize=10)
    axes.set(xlabel="x", ylabel="f(x)", title=f"worst case, f(x_N) - f* = {function.bound:.4g}")
    return figure


def _plot_plane(function: "WorstCaseFunction", path: Array) -> Any:
    figure, axes = _figure()
    points = np.vstack([path, function.x_star])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.15 * float((high - low).max()) or 1.0
    grid = [np.linspace(low[i] - margin, high[i] + margin, 160) for i in (0, 1)]
    mesh = np.stack(np.meshgrid(*grid), axis=-1)
    values = np.max(mesh @ function.slopes.T + function.intercepts, axis=-1)
    drawn = axes.contourf(*grid, values - function.f_star, levels=24, cmap="Blues")
    figure.colorbar(drawn, label="f(x) - f*")
    axes.plot(path[:, 0], path[:, 1], "o-", color=DARK, markersize=4, linewidth=0.8, label="iterates")
    axes.plot(*function.x_star, "k*", markersize=10, label="minimiser")
    axes.set(title=f"worst case, f(x_N) - f* = {function.bound:.4g}", aspect="equal")
    axes.legend(frameon=False)
    return figure


def plot_worst_case(result: "WorstCase") -> Any:
    """Draw the gap f(x_k) - f* along the run on the worst-case function, and the multipliers of the pairs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    values = result.function.run(result.H)
    left.plot(range(values.size), values, "o-", markersize=3, color=ACCENT)
    left.axhline(result.value, color="black", linestyle=":", label=f"worst case {result.value:.5g}")
    left.set(xlabel="point k", ylabel="f(x_k) - f*", title="the method on its worst-case function")
    left.set_ylim(0.0, 1.1 * float(values.max()))
    left.legend(frameon=False)
    pairs = np.column_stack([result.multipliers.pairs, result.multipliers.star])
    shown = np.where(pairs > 1e-8, pairs, np.nan)
    image = right.imshow(shown, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=right)
    ticks = np.unique(np.linspace(0, values.size - 1, min(values.size, 6)).astype(int))
    right.set_xticks([*ticks, values.size], [*map(str, ticks), "*"])
    right.set(xlabel="r", ylabel="t", title="multipliers of f_r ≥ f_t + <g_t, x_r - x_t>")
    return figure


def _figure() -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4), layout="constrained")
    return figure, figure.subplots()
