"""Literal NumPy versions of the methods: one generator each, which yields points and receives subgradients.

``lr(k)`` is the learning rate of step k. What is yielded is (point of the next subgradient, point that is returned).
"""

from collections.abc import Callable, Generator

import numpy as np
from step_references import STEPS

Run = Generator[tuple[np.ndarray, np.ndarray], np.ndarray]


def sgd(x: np.ndarray, lr: Callable) -> Run:
    k = 0
    while True:
        g = yield x, x
        x = x - lr(k) * g
        k += 1


def momentum(x: np.ndarray, lr: Callable, beta: float = 0.9, dampening: float = 0.0) -> Run:
    buffer, k = None, 0
    while True:
        g = yield x, x
        buffer = g if buffer is None else beta * buffer + (1 - dampening) * g
        x = x - lr(k) * buffer
        k += 1


def heavy_ball(x: np.ndarray, lr: Callable, beta: float = 0.9) -> Run:
    previous, k = x, 0
    while True:
        g = yield x, x
        x, previous = x - lr(k) * g + beta * (x - previous), x
        k += 1


def spa(x: np.ndarray, lr: Callable, c: float = 0.1) -> Run:
    z, k = x, 0
    while True:
        g = yield x, x
        z = z - lr(k) * g
        x = (1 - c) * x + c * z
        k += 1


def schedule_free(x: np.ndarray, lr: Callable, beta: float = 0.9, r: float = 0.0, weight_lr_power: float = 2.0) -> Run:
    z, y, k, history, weights = x, x, 0, [], []
    while True:
        g = yield y, x
        z = z - lr(k) * g
        history.append(z)
        weights.append((k + 1) ** r * max(lr(i) for i in range(k + 1)) ** weight_lr_power)
        x = np.average(history, axis=0, weights=weights)
        y = (1 - beta) * z + beta * x
        k += 1


def dual_averaging(x: np.ndarray, lr: Callable, power: float = 0.5, c: float = 1.0) -> Run:
    start, s, k = x, 0.0, 0
    while True:
        g = yield x, x
        s = s + lr(k) * g
        x = (1 - c) * x + c * (start - s / (k + 1) ** power)
        k += 1


def mda(x: np.ndarray, lr: Callable, momentum: float = 0.9) -> Run:
    """MDA in its z-recursion: an SGD step and a decaying pull to x_0."""
    start, z, k = x, x, 0
    while True:
        g = yield x, x
        keep = np.sqrt(k / (k + 1))
        z = keep * z + (1 - keep) * start - lr(k) * g
        x = momentum * x + (1 - momentum) * z
        k += 1


def madgrad(x: np.ndarray, lr: Callable, momentum: float = 0.9, eps: float = 1e-6) -> Run:
    start, s, nu, k = x, 0.0, 0.0, 0
    while True:
        g = yield x, x
        weight = (lr(k) + eps) * np.sqrt(k + 1)
        s, nu = s + weight * g, nu + weight * g**2
        x = momentum * x + (1 - momentum) * (start - s / (np.cbrt(nu) + eps))
        k += 1


def mirror_madgrad(x: np.ndarray, lr: Callable, momentum: float = 0.9, eps: float = 0.0) -> Run:
    z, nu, k = x, 0.0, 0
    while True:
        g = yield x, x
        nu = np.sqrt(k / (k + 1)) * nu + g**2
        scale = np.cbrt(nu) + eps
        z = z - (lr(k) + eps) * np.cbrt(k + 1) * np.divide(g, scale, out=np.zeros_like(g), where=scale > 0)
        x = momentum * x + (1 - momentum) * z
        k += 1


def adagrad_norm(x: np.ndarray, lr: Callable, b0: float = 0.0) -> Run:
    total, k = b0**2, 0
    while True:
        g = yield x, x
        total += g @ g
        x = x - lr(k) * g / np.sqrt(total) if total > 0 else x
        k += 1


def adagrad(x: np.ndarray, lr: Callable, eps: float = 1e-10) -> Run:
    total, k = 0.0, 0
    while True:
        g = yield x, x
        total = total + g**2
        x = x - lr(k) * g / (np.sqrt(total) + eps)
        k += 1


def adam(
    x: np.ndarray,
    lr: Callable,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    bias_correction: bool = True,
) -> Run:
    m, v, k = 0.0, 0.0, 0
    while True:
        g = yield x, x
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        first, second = (1 - beta1 ** (k + 1), 1 - beta2 ** (k + 1)) if bias_correction else (1.0, 1.0)
        x = x - lr(k) * (m / first) / (np.sqrt(v / second) + eps)
        k += 1


def gradagrad(x: np.ndarray, lr: Callable, rho: float = 2.0, growth: float = 1.0) -> Run:
    alpha, gamma, previous, k = 0.0, 1.0, np.zeros_like(x), 0
    while True:
        g = yield x, x
        v = g @ g - rho * (g @ previous)
        if v >= 0:
            alpha += v
        elif alpha > 0:
            gamma *= np.sqrt(1 - max(v, -growth * alpha) / alpha)
        x = x - lr(k) * gamma / np.sqrt(alpha) * g if alpha > 0 else x
        previous = g
        k += 1


def gradagrad_coordinate(x: np.ndarray, lr: Callable, rho: float = 2.0, growth: float = 1.0) -> Run:
    """Every coordinate is a run of `gradagrad` of its own."""
    runs = [gradagrad(x[j : j + 1], lr, rho, growth) for j in range(x.size)]
    point = np.concatenate([next(run)[0] for run in runs])
    while True:
        g = yield point, point
        point = np.concatenate([run.send(g[j : j + 1])[0] for j, run in enumerate(runs)])


METHODS = {
    function.__name__: function
    for function in (
        sgd,
        momentum,
        heavy_ball,
        spa,
        schedule_free,
        dual_averaging,
        mda,
        madgrad,
        mirror_madgrad,
        adagrad_norm,
        adagrad,
        adam,
        gradagrad,
        gradagrad_coordinate,
    )
}
METHODS |= STEPS


def split_mix(seed: int) -> Callable[[], int]:
    """SplitMix64 in Python integers."""
    state, mask = seed, (1 << 64) - 1

    def bits() -> int:
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    return bits


def batches(seed: int, n_steps: int, n: int, size: int, *, replacement: bool) -> list[np.ndarray]:
    """The batches of a run, drawn literally."""
    bits = split_mix(split_mix(seed)())
    bits()  # the first number seeds the noise
    drawn, order = [], np.arange(n)
    per_epoch = -(-n // size)
    for k in range(n_steps):
        if replacement:
            drawn.append(np.array([(bits() >> 32) * n >> 32 for _ in range(size)]))
            continue
        if k % per_epoch == 0:
            for i in range(n - 1, 0, -1):
                j = (bits() >> 32) * (i + 1) >> 32
                order[[i, j]] = order[[j, i]]
        drawn.append(order[k % per_epoch * size :][:size].copy())
    return drawn


def run(problem, method: str, lrs: np.ndarray, rows: list | None = None, **options) -> tuple[np.ndarray, np.ndarray]:
    """Return the points at which subgradients were taken, with the last one, and the returned points, (N+1, d)."""
    process = METHODS[method](problem.x0, lambda k: lrs[k], **options)
    at, output = next(process)
    visited, returned = [at], [output]
    for k in range(len(lrs)):
        at, output = process.send(problem.subgradient(at, slice(None) if rows is None else rows[k], k))
        visited.append(at)
        returned.append(output)
    return np.array(visited), np.array(returned)
