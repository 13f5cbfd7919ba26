"""The best schedule given what may not change: convex design, polished on the exact rate."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_vector,
)
from lastiterate.theory.rates.sgd import exact_rate, theorem10_rate

from .constraints import Constraints, build, check_limits
from .models import WEIGHT_SHAPES, solve_steps, solve_weights
from .polish import polish as polish_exact

__all__ = ["Design", "design_schedule"]

MODELS = ("steps", "weights")
RESIDUAL = 1e-9


@dataclass(frozen=True)
class Design:
    """A designed schedule with the bounds that `lastiterate.theory` gives for it.

    Parameters
    ----------
    steps : ndarray, shape (N,)
        The schedule.
    value : float
        Its exact rate, re-evaluated.
    theorem10 : float
        Its bound of Theorem 10, re-evaluated.
    convex_steps : ndarray, shape (N,)
        The solution of the convex model, before polishing.
    convex_value : float
        The exact rate of ``convex_steps``.
    objective : float
        The optimum of the convex model: the least Theorem 10 bound (model "steps") or exact rate ("weights").
    lower_bound : float
        No schedule at all has a lower exact rate: D / sqrt(sum_k G_k^-2), which is D G / sqrt(N+1) for constant G.
    residual : float
        The largest violation of a constraint.
    model, seconds
        How it was found.
    weights : ndarray, shape (N+1,), or None
        Model "weights": the weights w_0, ..., w_N behind ``convex_steps``.
    """

    steps: Array = field(repr=False)
    value: float
    theorem10: float
    convex_steps: Array = field(repr=False)
    convex_value: float
    objective: float
    lower_bound: float
    residual: float
    model: str
    seconds: float
    weights: Array | None = field(repr=False)

    @property
    def excess(self) -> float:
        """What the constraints cost at most: value / lower_bound - 1."""
        return self.value / self.lower_bound - 1.0


def design_schedule(
    n_steps: int,
    D: float = 1.0,
    G: Any = 1.0,
    *,
    max_step: Any = None,
    min_step: Any = None,
    monotone: bool = False,
    warmup: Any = None,
    blocks: Any = None,
    prefix: Any = None,
    tail: Any = None,
    budget: float | None = None,
    max_ratio: float | None = None,
    tail_weights: Any = None,
    weights_shape: str | None = None,
    model: str | None = None,
    polish: bool = True,
) -> Design:
    """Return the schedule with the least worst case under constraints.

    Model "steps" minimises the bound of Theorem 10 (arXiv 2310.07831), jointly convex in the steps, and polishes the
    solution on the exact rate by local optimisation. Model "weights" minimises the exact rate itself in the weights
    w_k = h_k / w_{k+1:N} (Zamani and Glineur, arXiv 2307.11134), where only lower limits on the steps, a given end of
    the weights and their shape are convex; its optimum is global.

    Parameters
    ----------
    n_steps : int
        N, the prefix included.
    D : float
        Bound on ||x_0 - x*||.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.
    max_step, min_step : float or array_like, shape (N,), optional
        Limits on every step, those of prefix and warm-up included; an array sets a limit a step.
    monotone : bool
        Steps never increase after warm-up and prefix (from the last step of these on).
    warmup : int or array_like, optional
        The first steps (after the prefix) rise linearly, h = peak / W, 2 peak / W, ..., peak, or are proportional to
        the given shape; the peak is free.
    blocks : int or array_like of int, optional
        The learning rate is equal within blocks of this length (or these lengths, which add up to N), warm-up,
        prefix and tail excepted.
    prefix, tail : array_like, optional
        Steps that are fixed at the start (already taken) and at the end.
    budget : float, optional
        Upper limit on the sum of all steps.
    max_ratio : float, optional
        Neighbouring steps differ by at most this factor, upwards and downwards.
    tail_weights : array_like, optional
        Model "weights": the last weights ..., w_{N-1}, w_N, fixed.
    weights_shape : str, optional
        Model "weights": "nonincreasing", "nondecreasing", "convex" or "concave".
    model : "steps" or "weights", optional
        By default "weights" where all given options allow it, else "steps".
    polish : bool
        Optimise the exact rate locally from the convex solution (model "steps", or "weights" with lower limits only).

    Returns
    -------
    Design
        ``.steps``, ``.value``, ``.convex_value``, ``.lower_bound``, ``.residual``.

    Raises
    ------
    InputError
        For bad arguments, and for constraints that contradict each other, naming which.
    SolverError
        If the cone program fails.

    Examples
    --------
    >>> design = design_schedule(99)
    >>> round(design.value, 6), round(design.lower_bound, 6)
    (0.1, 0.1)
    >>> capped = design_schedule(99, max_step=0.06, warmup=10, monotone=True)
    >>> bool(capped.steps.max() <= 0.06 + 1e-9), round(capped.value, 4)
    (True, 0.1042)
    """
    started = time.monotonic()
    n = check_count(n_steps, "n_steps")
    distance, norms = check_positive(D, "D"), check_gradient_bounds(G, n)
    only_steps = {
        "max_step": max_step,
        "monotone": monotone or None,
        "warmup": warmup,
        "blocks": blocks,
        "prefix": prefix,
        "tail": tail,
        "budget": budget,
        "max_ratio": max_ratio,
    }
    only_weights = {"tail_weights": tail_weights, "weights_shape": weights_shape}
    chosen = _choose_model(model, only_steps, only_weights)
    constraints = build(
        n,
        max_step=max_step,
        min_step=min_step,
        monotone=bool(monotone),
        warmup=warmup,
        blocks=blocks,
        prefix=prefix,
        tail=tail,
        budget=budget,
        max_ratio=max_ratio,
    )
    constraints.require_feasible()
    if chosen == "steps":
        found = solve_steps(distance, norms, constraints)
    else:
        floors = None if min_step is None else check_limits(min_step, "min_step", n)
        ending = None if tail_weights is None else _check_tail_weights(tail_weights, n, floors)
        if weights_shape is not None:
            check_choice(weights_shape, "weights_shape", WEIGHT_SHAPES)
        found = solve_weights(distance, norms, floors=floors, tail_weights=ending, shape=weights_shape)
    convex = _feasible(found.steps, constraints)
    free_weights = tail_weights is None and weights_shape is None
    steps = polish_exact(convex, distance, norms, constraints) if polish and free_weights else convex
    convex_value = exact_rate(convex, distance, norms).value
    return Design(
        steps=steps,
        value=exact_rate(steps, distance, norms).value,
        theorem10=theorem10_rate(steps, distance, norms).value,
        convex_steps=convex,
        convex_value=convex_value,
        objective=found.objective,
        lower_bound=distance / float(np.sqrt(np.sum(norms**-2.0))),
        residual=constraints.residual(steps),
        model=chosen,
        seconds=time.monotonic() - started,
        weights=found.weights,
    )


def _choose_model(model: str | None, only_steps: dict[str, Any], only_weights: dict[str, Any]) -> str:
    """Return the model that the options ask for, or raise where they exclude each other."""
    in_steps = [name for name, value in only_steps.items() if value is not None]
    in_weights = [name for name, value in only_weights.items() if value is not None]
    if in_steps and in_weights:
        pair = f"{in_steps[0]} and {in_weights[0]}"
        raise InputError(
            pair, "both", "options of one model: the first is convex in the steps, the second in the weights"
        )
    if model is None:
        return "steps" if in_steps else "weights"
    check_choice(model, "model", MODELS)
    wrong = in_steps if model == "weights" else in_weights
    if wrong:
        raise InputError(wrong[0], f"model={model!r}", f"model={'steps' if model == 'weights' else 'weights'!r}")
    return model


def _check_tail_weights(values: Any, n_steps: int, floors: Array | None) -> Array:
    """Check the fixed end of the weights, and that the steps it implies respect the lower limits."""
    weights = check_vector(values, "tail_weights")
    if not 0 < weights.size <= n_steps + 1:
        raise InputError("tail_weights", f"{weights.size} weights", f"between 1 and {n_steps + 1} weights")
    if weights.min() < 0.0 or weights[-1] == 0.0:
        raise InputError("tail_weights", weights, "weights that are at least zero, the last one positive")
    if floors is not None:
        after = np.cumsum(weights[::-1])[::-1][1:]
        implied, least = weights[:-1] * after, floors[n_steps + 1 - weights.size :]
        if np.any(implied < least * (1.0 - 1e-12)):
            raise InputError("min_step and tail_weights", "steps below min_step", "constraints that can hold together")
    return weights


def _feasible(steps: Array, constraints: Constraints) -> Array:
    """Return the nearest schedule that satisfies the constraints, or raise if the solver was far off."""
    nearest = constraints.nearest(steps)
    residual, size = constraints.residual(nearest), float(np.max(nearest, initial=0.0))
    if residual > RESIDUAL * max(1.0, size):
        raise SolverError(f"the cone program left a constraint residual of {residual:.1e}")
    return nearest
