# pyright: reportMissingParameterType=false
"""Polyak-style methods: the step comes from the loss and a lower bound or target for it.

Every step is a projection onto a linearised target: f(x) <= f* (Polyak, SPS, SP), a moving target held for each sample
(TAPS, MOTAPS, arXiv 2106.11851), or the same with averaged losses and gradients (MoMo, arXiv 2305.07583). The rate
lr = base_lr * steps[k] is the relaxation gamma of ``polyak``, ``sp``, ``taps`` and ``motaps`` and the cap on the step
of ``sps_max``, ``momo``, ``momo_star`` and ``momo_adam`` (any huge number for none).
"""

import math
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.simulators.kernels.protocol import (
    FIRST,
    KERNEL,
    STEP_SIZE,
    SUMS,
    WEIGHT,
    Bound,
    Method,
    RunFacts,
    no_bound,
)
from lastiterate.theory.simulators.kernels.vectors import dot

__all__ = ["momo", "momo_adam", "motaps", "polyak", "sp", "sps_max", "taps"]

CAPPED = FIRST  # how many steps were shorter than the projection asked for


@njit(**SUMS)
def _move(x, step, direction):
    for j in range(x.size):
        x[j] -= step * direction[j]


@njit(**KERNEL)
def polyak(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - lr (f(x_k) - f*)_+ / ||g_k||^2 g_k."""
    square = dot(g, g)
    step = lr * max(0.0, loss - options[0]) / square if square > 0.0 else 0.0
    scalars[WEIGHT], scalars[STEP_SIZE] = max(0.0, lr * (2.0 - lr)), step
    _move(x, step, g)


@njit(**KERNEL)
def sp(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """z_{k+1} = z_k - min(lr / (1 - beta) f_i / (||g||^2 + eps), sps_max) g; x_{k+1} = beta x_k + (1 - beta) z_{k+1}.

    Losses are counted from ``f_star``; beta = 0 is the plain step. eps lets samples that are solved rest: without it a
    logistic loss of 1e-20 still asks for a unit change of margin.
    """
    beta, z = options[3], state[0]
    if k == 0:
        _move(z, -1.0, x)  # state starts at zero
    square = dot(g, g) + options[1]
    step = lr / (1.0 - beta) * max(0.0, loss - options[0]) / square if square > 0.0 else 0.0
    if step > options[2]:
        step = options[2]
        scalars[CAPPED] += 1.0
    scalars[WEIGHT], scalars[STEP_SIZE] = max(0.0, lr * (2.0 - lr)), step
    for j in range(x.size):
        z[j] -= step * g[j]
        x[j] = beta * x[j] + (1.0 - beta) * z[j]


@njit(**KERNEL)
def sps_max(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - min(lr, (f_i - f_star)_+ / (c ||g||^2)) g."""
    square = dot(g, g)
    step = max(0.0, loss - options[0]) / (options[1] * square) if square > 0.0 else 0.0
    if step > lr:
        step = lr
        scalars[CAPPED] += 1.0
    relaxation = 1.0 / options[1]
    scalars[WEIGHT], scalars[STEP_SIZE] = max(0.0, relaxation * (2.0 - relaxation)), step
    _move(x, step, g)


@njit(**SUMS)
def _toward_targets(lr, beta, package, loss, x, g, rows, z, targets):
    """Project (x, targets of the batch) onto the linearised mean loss = mean target; return the multiplier.

    With momentum beta the projection moves z by lr / (1 - beta) and x follows as an average. The targets move by lr,
    so that a step of lr = 1 solves for them, or, as in the authors' ``package``, by lr / (1 - beta) as well.
    """
    everything = rows.size == 0
    count = targets.size if everything else rows.size
    mean = 0.0
    for i in range(count):
        mean += targets[i if everything else rows[i]]
    mean /= count
    multiplier = (loss - mean) / (dot(g, g) + 1.0 / count)
    pace = lr / (1.0 - beta) if package else lr
    for i in range(count):
        targets[i if everything else rows[i]] += pace * multiplier / count
    for j in range(x.size):
        z[j] -= lr / (1.0 - beta) * multiplier * g[j]
        x[j] = beta * x[j] + (1.0 - beta) * z[j]
    return multiplier


@njit(**SUMS)
def _to_mean(lr, tau_rate, tau, targets):
    """Move tau towards the mean target, then all targets together so that their mean approaches tau; return tau."""
    n, mean = targets.size, 0.0
    for i in range(n):
        mean += targets[i]
    mean /= n
    tau = (1.0 - tau_rate) * tau + tau_rate * n / (n + 1.0) * mean
    for i in range(n):
        targets[i] += lr * (tau - mean)
    return tau


@njit(**KERNEL)
def _epoch_ends(k, rows, targets, scalars):
    """Whether step k is the last of an epoch, counted in batches of the first batch's size (kept in scalars)."""
    if k == 0:
        batch = rows.size if rows.size else targets.size
        scalars[FIRST + 1] = math.ceil(targets.size / batch)
    return (k + 1) % int(scalars[FIRST + 1]) == 0


@njit(**KERNEL)
def taps(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Targeted stochastic Polyak: per-sample targets, pulled to the mean ``tau`` = f* at the end of every epoch."""
    if k == 0:
        _move(state[0], -1.0, x)  # state starts at zero
    scalars[STEP_SIZE] = lr * _toward_targets(lr, options[1], options[2] > 0.0, loss, x, g, rows, state[0], memory)
    if _epoch_ends(k, rows, memory, scalars):
        _to_mean(lr / (1.0 - options[1]) if options[2] > 0.0 else lr, 0.0, options[0], memory)


@njit(**KERNEL)
def motaps(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Moving targeted stochastic Polyak: as TAPS with a learned tau, from 0; a negative gamma_tau is 0.9 - 0.899 lr."""
    if k == 0:
        _move(state[0], -1.0, x)  # state starts at zero
    scalars[STEP_SIZE] = lr * _toward_targets(lr, options[1], options[2] > 0.0, loss, x, g, rows, state[0], memory)
    if _epoch_ends(k, rows, memory, scalars):
        tau_rate = options[0] if options[0] >= 0.0 else 0.9 - 0.899 * lr
        pace = lr / (1.0 - options[1]) if options[2] > 0.0 else lr
        scalars[FIRST] = _to_mean(pace, tau_rate, scalars[FIRST], memory)


@njit(**KERNEL)
def _reset_bound(gap, scale, bound, initial):
    """MoMo's ResetStar: halve a lower bound that the model contradicts, never below the initial one."""
    return max(gap / (2.0 * scale), initial) if gap < scale * bound else bound


@njit(**SUMS)
def momo(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Project onto the averaged model, x - tau d with tau = min(lr / rho, (model gap)_+ / ||d||^2).

    Scalars: capped steps, mean loss, mean <g, x>, lower bound.
    """
    beta, decay, corrected, estimate = options[0], options[2], options[3] > 0.0, options[4] > 0.0
    d = state[0]
    start = 0.0 if corrected else 1.0
    if k == 0:
        scalars[FIRST + 1], scalars[FIRST + 2], scalars[FIRST + 3] = start * loss, start * dot(x, g), options[1]
        for j in range(x.size):
            d[j] = start * g[j]
    for j in range(x.size):
        d[j] = beta * d[j] + (1.0 - beta) * g[j]
    scalars[FIRST + 1] = mean_loss = beta * scalars[FIRST + 1] + (1.0 - beta) * loss
    scalars[FIRST + 2] = inner = beta * scalars[FIRST + 2] + (1.0 - beta) * dot(x, g)
    rho = 1.0 - beta ** (k + 1.0) if corrected else 1.0
    square, here, shrink = dot(d, d), dot(d, x), 1.0 + lr * decay
    if estimate:
        model = shrink * mean_loss + here - shrink * inner
        scalars[FIRST + 3] = _reset_bound(model, shrink * rho, scalars[FIRST + 3], options[1])
    model = shrink * (mean_loss - rho * scalars[FIRST + 3]) + here - shrink * inner
    wanted = max(0.0, model) / square if square > 0.0 else np.inf
    step = min(lr / rho, wanted)
    scalars[CAPPED] += 1.0 if step < wanted else 0.0
    if estimate:
        guess = (mean_loss + here - inner - 0.5 * step * square) / rho
        scalars[FIRST + 3] = max(guess, options[1])
    scalars[WEIGHT], scalars[STEP_SIZE] = 1.0, step
    for j in range(x.size):
        x[j] = (x[j] - step * d[j]) / shrink


@njit(**SUMS)
def momo_adam(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """MoMo in Adam's metric D = eps + sqrt(v_hat): x - tau d / D, tau = min(lr / rho, (model gap)_+ / <d, d / D>)."""
    beta, beta2, eps, decay = options[0], options[1], options[2], options[4]
    divide, estimate = options[5] > 0.0, options[6] > 0.0
    d, v = state[0], state[1]
    if k == 0:
        scalars[FIRST + 3] = options[3]
    rho, correction = 1.0 - beta ** (k + 1.0), 1.0 - beta2 ** (k + 1.0)
    for j in range(x.size):
        d[j] = beta * d[j] + (1.0 - beta) * g[j]
        v[j] = beta2 * v[j] + (1.0 - beta2) * g[j] * g[j]
    square = 0.0
    for j in range(x.size):
        square += d[j] * d[j] / (eps + math.sqrt(v[j] / correction))
    scalars[FIRST + 1] = mean_loss = beta * scalars[FIRST + 1] + (1.0 - beta) * loss
    scalars[FIRST + 2] = inner = beta * scalars[FIRST + 2] + (1.0 - beta) * dot(x, g)
    here, shrink = dot(d, x), 1.0 + lr * decay
    if estimate:
        model = shrink * mean_loss + here - shrink * inner
        scalars[FIRST + 3] = _reset_bound(model, shrink * rho, scalars[FIRST + 3], options[3])
    model = shrink * (mean_loss - rho * scalars[FIRST + 3]) + here - shrink * inner
    wanted = max(0.0, model) / square if square > 0.0 else np.inf
    step = min(lr / rho, wanted)
    scalars[CAPPED] += 1.0 if step < wanted else 0.0
    if estimate:
        guess = (mean_loss + here - inner - 0.5 * step * square) / rho
        scalars[FIRST + 3] = max(guess, options[3])
    scalars[WEIGHT], scalars[STEP_SIZE] = 1.0, step
    before, after = (1.0, 1.0 / shrink) if divide else (1.0 - lr * decay, 1.0)
    for j in range(x.size):
        x[j] = (x[j] * before - step * d[j] / (eps + math.sqrt(v[j] / correction))) * after


def _projection_bound(facts: RunFacts, f_star: Any, progress: float, source: str) -> Bound:
    """Return D sqrt((G^2 + eps) / progress) for projections that all contain x*; ``progress`` sums their decreases.

    In expectation for mini-batches, by Cauchy-Schwarz over E f and E ||g||^2, if every sample has its minimum at x*.
    """
    problem = facts.problem
    reason = ""
    if facts.D is None or facts.G is None:
        reason = "the bound needs D and G"
    elif any(np.ndim(value) for value in facts.options.values()):
        reason = "the bound needs constant options"
    elif abs(f_star - problem.f_star) > 1e-9 * (1.0 + abs(problem.f_star)):
        reason = "the bound needs the exact f*"
    elif facts.stochastic and (abs(problem.f_star) > 1e-9 or not problem.stochastic):
        reason = "no interpolation: samples have other minima than f"
    elif facts.stochastic and problem.G_stochastic * (1.0 + 1e-12) < facts.G:
        reason = "noisy gradients do not belong to the loss that is seen"
    elif facts.scalars[CAPPED] > 0.0:
        reason = "some steps were capped"
    elif progress <= 0.0:
        reason = "no step makes progress"
    if reason or facts.D is None or facts.G is None:
        return Bound(None, "average", reason=reason)
    squared = facts.G**2 + float(facts.options.get("eps", 0.0))
    return Bound(facts.D * math.sqrt(squared / progress), "average", source)


def _relaxed_bound(facts: RunFacts) -> Bound:
    """Return the bound of relaxed projections: ||x_k-x*||^2 falls by lr (2-lr) (f_k-f*)^2 / ||g_k||^2 a step."""
    if np.any(facts.options.get("beta", 0.0)):
        return Bound(None, "average", reason="proved without momentum")
    inside = bool(np.all((facts.lrs >= 0.0) & (facts.lrs <= 2.0)))
    progress = float(np.sum(facts.lrs * (2.0 - facts.lrs))) if inside else 0.0
    return _projection_bound(facts, facts.options["f_star"], progress, "projections onto halfspaces (arXiv 2106.11851)")


def _sps_bound(facts: RunFacts) -> Bound:
    relaxation = 1.0 / facts.options["c"]
    progress = facts.lrs.size * relaxation * (2.0 - relaxation)
    return _projection_bound(facts, facts.options["f_star"], progress, "SPS without cap: projections onto halfspaces")


def _momo_bound(facts: RunFacts) -> Bound:
    """Return G D / ((1 - beta) sqrt K), from the identity model gap = (1 - beta) (f_k - f*)."""
    options = facts.options
    if np.any(options["weight_decay"]) or options["bias_correction"] or options["estimate"]:
        return Bound(None, "average", reason="proved without weight decay, bias correction and estimation")
    progress = float(np.min((1.0 - options["beta"]) ** 2 * facts.lrs.size))
    return _projection_bound(facts, options["lower_bound"], progress, "MoMo (arXiv 2305.07583)")


_SP = {"f_star": 0.0, "eps": 1e-12, "sps_max": np.inf, "beta": 0.0}
_MOMO = {"beta": 0.9, "lower_bound": 0.0, "weight_decay": 0.0, "bias_correction": False, "estimate": False}
_MOMO_ADAM = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "lower_bound": 0.0,
    "weight_decay": 0.0,
    "divide": True,
    "estimate": False,
}
_NO_CONVEX_RATE = no_bound("proved for star-convex residuals only, which convexity of f does not give")
_ESTIMATED = no_bound("proved for MoMo with known f* and without a metric")
_TARGETED: dict[str, Any] = {"vectors": 1, "uses_loss": True, "uses_memory": True, "bound": _NO_CONVEX_RATE}
_AVERAGED: dict[str, Any] = {"uses_loss": True, "averages": True, "posterior": True}

METHODS = {
    "polyak": Method(polyak, {"f_star": "f_star"}, scalars=1, bound=_relaxed_bound, **_AVERAGED),
    "sp": Method(sp, _SP, vectors=1, scalars=1, bound=_relaxed_bound, **_AVERAGED),
    "sps_max": Method(sps_max, {"f_star": 0.0, "c": 1.0}, scalars=1, bound=_sps_bound, **_AVERAGED),
    "taps": Method(taps, {"tau": "f_star", "beta": 0.0, "package": False}, scalars=2, **_TARGETED),
    "motaps": Method(motaps, {"gamma_tau": -1.0, "beta": 0.0, "package": False}, scalars=2, **_TARGETED),
    "momo": Method(momo, _MOMO, vectors=1, scalars=4, bound=_momo_bound, **_AVERAGED),
    "momo_star": Method(momo, {**_MOMO, "estimate": True}, vectors=1, scalars=4, uses_loss=True, bound=_ESTIMATED),
    "momo_adam": Method(momo_adam, _MOMO_ADAM, vectors=2, scalars=4, uses_loss=True, bound=_ESTIMATED),
}
