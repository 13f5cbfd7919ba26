"""What momentum can gain in the worst case: base learning rate, momentum and schedule optimised jointly on the SDP."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from lastiterate.solvers.worst_case.solve import WorstCase, worst_case
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import MAX_SEED, Array, InputError, check_count, check_positive
from lastiterate.theory.methods.step_matrix import momentum

__all__ = ["BestMethod", "MomentumStudy", "Variant", "design_momentum", "matrix_gradient"]

LARGEST = 15


@dataclass(frozen=True)
class Variant:
    """A family of methods: whether the learning rate, the momentum or both change from step to step."""

    name: str
    scheduled_lr: bool
    momentum: str  # "none" | "constant" | "scheduled"

    def size(self, n_steps: int) -> int:
        """Return the number of parameters."""
        betas = {"none": 0, "constant": 1, "scheduled": n_steps - 1}[self.momentum]
        return (n_steps if self.scheduled_lr else 1) + betas

    def method(self, parameters: Array, n_steps: int, unit: float) -> tuple[Array, Array]:
        """Return learning rates and momentum; parameters are logarithms (in ``unit``) and logits."""
        count = n_steps if self.scheduled_lr else 1
        lrs = np.full(n_steps, 1.0) * unit * np.exp(np.clip(parameters[:count], -30.0, 5.0))
        beta = np.zeros(n_steps)
        if self.momentum != "none":
            beta[1:] = special.expit(np.clip(parameters[count:], -30.0, 8.0))
        return lrs, beta


VARIANTS = (
    Variant("constant lr, no momentum", False, "none"),
    Variant("constant lr, constant momentum", False, "constant"),
    Variant("constant lr, scheduled momentum", False, "scheduled"),
    Variant("scheduled lr, no momentum", True, "none"),
    Variant("scheduled lr, constant momentum", True, "constant"),
    Variant("scheduled lr, scheduled momentum", True, "scheduled"),
)


@result
class BestMethod(Result):
    """The best method of a variant that was found, and the semidefinite program that bounds it."""

    _shown = ("variant", "value", "evaluations")

    variant: str
    lrs: Array
    beta: Array
    worst_case: WorstCase
    value: float
    evaluations: int


@result
class MomentumStudy(Result, Tabular):
    """The best worst case of every variant.

    Attributes
    ----------
    methods : tuple of BestMethod
        The best learning rates and momentum of each variant.
    n_steps : int
        N.
    optimum : float
        D G / sqrt(N+1), which no first-order method beats.
    """

    _plot = "momentum_study"
    _shown = ("n_steps", "optimum")

    methods: tuple[BestMethod, ...]
    n_steps: int
    optimum: float

    def table(self) -> list[dict[str, Any]]:
        """Return one row a variant."""
        return [
            {
                "method": best.variant,
                "worst case": best.value,
                "over DG/sqrt(N+1)": best.value / self.optimum,
                "largest lr": float(best.lrs.max()),
                "least lr": float(best.lrs.min()),
                "largest beta": float(best.beta.max()),
                "least beta": float(best.beta[1:].min(initial=1.0)) if self.n_steps > 1 else 0.0,
                "evaluations": best.evaluations,
            }
            for best in self.methods
        ]


@within_float64
def design_momentum(
    n_steps: int,
    D: float = 1.0,
    G: float = 1.0,
    *,
    variants: tuple[Variant, ...] = VARIANTS,
    starts: int = 4,
    seed: int = 0,
    iterations: int = 60,
) -> MomentumStudy:
    """Minimise the exact worst case over learning rates and momentum, from several starts a variant.

    SGD with momentum in PyTorch's form, m_{k+1} = beta_k m_k + g_k, x_{k+1} = x_k - h_k m_{k+1}. The worst case is
    differentiated through its multipliers and its worst-case function (envelope theorem) and minimised by L-BFGS-B; the
    values are local minima, so upper bounds on what each variant can reach. No first-order method is below
    D G / sqrt(N+1) (Drori and Teboulle), which linear decay without momentum attains (arXiv 2307.11134).

    Parameters
    ----------
    n_steps : int
        N, at most 15.
    D, G : float
        Distance and gradient bound.
    variants : tuple of Variant
        Which families to optimise.
    starts : int
        Starts of each variant: decaying and constant learning rates, small and large momentum, perturbed at random.
    seed : int
        Seed of the perturbations.
    iterations : int
        Iterations of L-BFGS-B from each start.

    Returns
    -------
    MomentumStudy
        ``.methods``, ``.table()``, ``.plot()``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.
    SolverError
        When a semidefinite program fails.

    Examples
    --------
    >>> study = design_momentum(2, variants=VARIANTS[:2], starts=1)
    >>> bool(study.methods[1].value < study.methods[0].value)  # momentum helps a constant learning rate
    True
    """
    count = check_count(n_steps, "n_steps")
    if count > LARGEST:
        raise InputError("n_steps", count, f"at most {LARGEST} steps: every evaluation is a semidefinite program")
    distance, norm = check_positive(D, "D"), check_positive(G, "G")
    check_count(starts, "starts")
    check_count(iterations, "iterations")
    if not isinstance(variants, tuple) or not all(isinstance(variant, Variant) for variant in variants):
        raise InputError("variants", variants, "a tuple of Variant")
    if not 1e-100 < distance * norm < 1e100 or not 1e-100 < distance / norm < 1e100:
        raise InputError("D", D, "D and G whose product and quotient lie within 100 orders of magnitude of one")
    generator = np.random.default_rng(check_count(seed, "seed", minimum=0, maximum=MAX_SEED))
    found: list[BestMethod] = []
    with progress_bar("variants", len(variants), unit="variants") as update:
        for variant in variants:
            update(description=variant.name)
            found.append(_best(variant, count, distance, norm, starts, generator, iterations))
            update(advance=1)
    return MomentumStudy(tuple(found), count, distance * norm / math.sqrt(count + 1))


def _best(
    variant: Variant, n: int, D: float, G: float, starts: int, generator: np.random.Generator, iterations: int
) -> BestMethod:
    unit = D / (G * math.sqrt(n + 1))
    evaluations, best = 0, None

    def objective(parameters: Array) -> tuple[float, Array]:
        nonlocal evaluations, best
        evaluations += 1
        lrs, beta = variant.method(parameters, n, unit)
        result = worst_case(momentum(lrs, beta), D, G, progress=False)
        if best is None or result.value < best[0].value:
            best = (result, lrs, beta)
        sensitivity = matrix_gradient(result)

        def linear(point: Array) -> float:
            return float(np.sum(sensitivity * momentum(*variant.method(point, n, unit))))

        gradient = np.array([_slope(linear, parameters, index) for index in range(parameters.size)])
        return result.value / (unit * G**2), gradient / (unit * G**2)

    for number in range(starts):
        optimize.minimize(
            objective,
            _start(variant, n, number, generator),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": iterations},
        )
    assert best is not None
    return BestMethod(variant.name, best[1], best[2], best[0], best[0].value, evaluations)


def _start(variant: Variant, n: int, number: int, generator: np.random.Generator) -> Array:
    """Alternate between linear decay and constant learning rates, and between small and large momentum."""
    decay = np.log(1.0 - np.arange(1, n + 1) / (n + 1))
    lrs = (decay if number % 2 == 0 else np.full(n, -0.5)) if variant.scheduled_lr else np.full(1, -0.5)
    parameters = np.full(variant.size(n), special.logit((0.1, 0.5, 0.9, 0.3)[number % 4]))
    parameters[: lrs.size] = lrs
    noise = 0.0 if number == 0 else 0.3
    return parameters + noise * generator.standard_normal(parameters.size)


def matrix_gradient(result: WorstCase) -> Array:
    """Return the derivative of the worst case in the entries of the step matrix.

    x_r = x_0 - sum_l H[r, l] g_l enters the inequalities towards r (through x_r) and from r (through -x_r):
    dV/dH[r, l] = sum_t pairs[r, t] <g_t, g_l> - (sum_s pairs[s, r] + optimum[r]) <g_r, g_l>.
    """
    slopes = result.function.matrix[:-1]
    inner = slopes @ slopes.T
    found = result.multipliers
    leaving = found.pairs.sum(axis=0) + found.optimum
    return np.tril(found.pairs @ inner - leaving[:, None] * inner, -1)


def _slope(function: Callable[[Array], float], point: Array, index: int) -> float:
    """Central difference of a smooth function of the parameters."""
    step = np.zeros(point.size)
    step[index] = 1e-5
    return (function(point + step) - function(point - step)) / 2e-5
