"""Pictures of worst cases: the function in one or two dimensions, the gap along the run, the multipliers."""

from typing import Any

import numpy as np

from lastiterate.solvers.worst_case.solve import WorstCase
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.problems.problem import Problem

from .style import BLUE, RED, axes_or_current, literal

__all__ = ["function", "multipliers", "worst_case"]


def function(found: Problem, H: Any = None, ax: Any = None) -> Any:
    """Draw a function of one or two variables, with the run of the method ``H`` if given; return the axes."""
    if found.dim not in (1, 2):
        raise InputError("function", f"a function of {found.dim} variables", "one of 1 or 2 variables")
    axes = axes_or_current(ax)
    path = found.path(H) if H is not None else found.x0[None, :]
    (_line if found.dim == 1 else _plane)(axes, found, path)
    axes.set(title=f"{literal(found.name)}, f(x_N) - f* = {found.value(path[-1]) - found.f_star:.4g}")
    return axes


def _line(axes: Any, found: Problem, path: Array) -> None:
    points = np.concatenate([path[:, 0], found.x_star])
    margin = 0.15 * float(np.ptp(points)) or 1.0
    x = np.linspace(points.min() - margin, points.max() + margin, 400)
    axes.plot(x, [found.value(np.array([value])) for value in x], color=BLUE)
    axes.plot(path[:, 0], [found.value(point) for point in path], "o-", color=RED, markersize=4, linewidth=0.8)
    axes.plot(found.x_star, [found.f_star], "k*", markersize=10)
    axes.set(xlabel="x", ylabel="f(x)")


def _plane(axes: Any, found: Problem, path: Array) -> None:
    points = np.vstack([path, found.x_star])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.15 * float((high - low).max()) or 1.0
    grid = [np.linspace(low[i] - margin, high[i] + margin, 160) for i in (0, 1)]
    mesh = np.stack(np.meshgrid(*grid), axis=-1)
    values = np.max(mesh @ found.matrix.T + found.targets, axis=-1)
    drawn = axes.contourf(*grid, values - found.f_star, levels=24, cmap="Blues")
    axes.figure.colorbar(drawn, ax=axes, label="f(x) - f*")
    axes.plot(path[:, 0], path[:, 1], "o-", color=RED, markersize=4, linewidth=0.8, label="iterates")
    axes.plot(*found.x_star, "k*", markersize=10, label="minimiser")
    axes.set(aspect="equal")
    axes.legend(frameon=False)


def worst_case(result: WorstCase, ax: Any = None) -> Any:
    """Draw the gap f(x_k) - f* along the run on the worst-case function; return the axes."""
    axes = axes_or_current(ax)
    values = result.function.run(result.H)
    axes.plot(range(values.size), values, "o-", markersize=3, color=BLUE)
    axes.axhline(result.value, color="black", linestyle=":", label=f"worst case {result.value:.5g}")
    axes.set(xlabel="point k", ylabel="f(x_k) - f*", title="the method on its worst-case function")
    axes.set_ylim(0.0, 1.1 * float(values.max()))
    axes.legend(frameon=False)
    return axes


def multipliers(result: WorstCase, ax: Any = None) -> Any:
    """Draw the multipliers of f_r >= f_t + <g_t, x_r - x_t> as a matrix, x* last; return the axes."""
    axes = axes_or_current(ax)
    pairs = np.column_stack([result.multipliers.pairs.T, result.multipliers.optimum])
    image = axes.imshow(np.where(pairs > 1e-8, pairs, np.nan), cmap="viridis", aspect="auto")
    axes.figure.colorbar(image, ax=axes)
    n = len(pairs)
    ticks = np.unique(np.linspace(0, n - 1, min(n, 6)).astype(int))
    axes.set_xticks([*ticks, n], [*map(str, ticks), "*"])
    axes.set(xlabel="r", ylabel="t", title="multipliers of f_r ≥ f_t + <g_t, x_r - x_t>")
    return axes
