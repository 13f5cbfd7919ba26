"""Literal NumPy versions of the methods whose step has a scale of its own; generators as in `method_references`."""

from collections.abc import Callable, Generator

import numpy as np

Run = Generator[tuple[np.ndarray, np.ndarray], np.ndarray]


def nesterov(x: np.ndarray, lr: Callable, beta: float = 0.9) -> Run:
    buffer, k = 0.0, 0
    while True:
        g = yield x, x
        buffer = beta * buffer + g
        x = x - lr(k) * (g + beta * buffer)
        k += 1


def adamw(x: np.ndarray, lr: Callable, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, largest=False) -> Run:
    m, v, top, k = 0.0, 0.0, 0.0, 0
    while True:
        g = yield x, x
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        top = np.maximum(top, v) if largest else v
        step = m / (1 - beta1 ** (k + 1)) / (np.sqrt(top / (1 - beta2 ** (k + 1))) + eps)
        x = (1 - lr(k) * weight_decay) * x - lr(k) * step
        k += 1


def amsgrad(x: np.ndarray, lr: Callable) -> Run:
    return adamw(x, lr, weight_decay=0.0, largest=True)


def nadam(x: np.ndarray, lr: Callable, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3) -> Run:
    m, v, product, k = 0.0, 0.0, 1.0, 0
    while True:
        g = yield x, x
        now, later = (beta1 * (1 - 0.96 ** ((k + i) * momentum_decay) / 2) for i in (1, 2))
        product *= now
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        ahead = (1 - now) / (1 - product) * g + later / (1 - product * later) * m
        x = x - lr(k) * ahead / (np.sqrt(v / (1 - beta2 ** (k + 1))) + eps)
        k += 1


def schedule_free_adamw(x: np.ndarray, lr: Callable, beta1=0.9, beta2=0.999, eps=1e-8) -> Run:
    z, y, v, k, history, weights = x, x, 0.0, 0, [], []
    while True:
        g = yield y, x
        v = beta2 * v + (1 - beta2) * g**2
        z = z - lr(k) * g / (np.sqrt(v / (1 - beta2 ** (k + 1))) + eps)
        history.append(z)
        weights.append(max(lr(i) for i in range(k + 1)) ** 2)
        x = np.average(history, axis=0, weights=weights)
        y = (1 - beta1) * z + beta1 * x
        k += 1


def normalized_sgd(x: np.ndarray, lr: Callable) -> Run:
    k = 0
    while True:
        g = yield x, x
        x = x - lr(k) * g / np.linalg.norm(g)
        k += 1


def sign_sgd(x: np.ndarray, lr: Callable) -> Run:
    k = 0
    while True:
        g = yield x, x
        x = x - lr(k) * np.sign(g)
        k += 1


def lion(x: np.ndarray, lr: Callable, beta1: float = 0.9, beta2: float = 0.99) -> Run:
    m, k = 0.0, 0
    while True:
        g = yield x, x
        x = x - lr(k) * np.sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g
        k += 1


def muon_exact(x: np.ndarray, lr: Callable, momentum: float = 0.95, weight_decay: float = 0.1) -> Run:
    """On a matrix of one row the singular vector is the row, normalised."""
    m, k = 0.0, 0
    while True:
        g = yield x, x
        m = momentum * m + (1 - momentum) * g
        ahead = momentum * m + (1 - momentum) * g
        x = (1 - lr(k) * weight_decay) * x - lr(k) * ahead / np.linalg.norm(ahead)
        k += 1


def muon(x: np.ndarray, lr: Callable, momentum: float = 0.95, weight_decay: float = 0.1) -> Run:
    """On a matrix of one row the five steps are those of a number, the norm."""
    m, k, size = 0.0, 0, 1.0
    for _ in range(5):
        size = 3.4445 * size - 4.775 * size**3 + 2.0315 * size**5
    while True:
        g = yield x, x
        m = momentum * m + (1 - momentum) * g
        ahead = momentum * m + (1 - momentum) * g
        x = (1 - lr(k) * weight_decay) * x - lr(k) * size * ahead / np.linalg.norm(ahead)
        k += 1


def dog(x: np.ndarray, lr: Callable, reps_rel: float = 1e-6) -> Run:
    start, total, k, radius = x, 0.0, 0, reps_rel * (1 + np.linalg.norm(x))
    while True:
        g = yield x, x
        radius, total = max(radius, np.linalg.norm(x - start)), total + g @ g
        x = x - lr(k) * radius / np.sqrt(total) * g
        k += 1


def dowg(x: np.ndarray, lr: Callable, first: float = 1e-4, eps: float = 1e-4) -> Run:
    start, total, k, squared = x, 0.0, 0, first
    while True:
        g = yield x, x
        squared = max(squared, (x - start) @ (x - start))
        total += squared * (g @ g)
        x = x - lr(k) * squared / (np.sqrt(total) + eps) * g
        k += 1


STEPS = {
    "nesterov": nesterov,
    "adamw": adamw,
    "amsgrad": amsgrad,
    "nadam": nadam,
    "schedule_free_adamw": schedule_free_adamw,
    "normalized_sgd": normalized_sgd,
    "sign_sgd": sign_sgd,
    "lion": lion,
    "muon": muon,
    "muon_exact": muon_exact,
    "dog": dog,
    "dog_layerwise": dog,  # one layer
    "dowg": dowg,
}
