"""The exact rate in 50 digits, and random schedules and gradient bounds that are hard on it."""

import numpy as np
from mpmath import mp, mpf

FAMILIES = ("uniform", "wild", "rising", "falling", "zeros", "quarters", "plateaus", "single", "ties")


def random_schedule(rng, n_steps, family):
    """One schedule of a family; ``ties`` puts steps exactly on 2 sqrt(h) = theta, ``quarters`` on many ties at once."""
    if family == "single":
        steps = np.zeros(n_steps)
        steps[rng.integers(n_steps)] = 1.0
    elif family == "quarters":
        steps = 0.25 ** np.sort(rng.integers(0, 6, n_steps))
    elif family == "ties":
        steps, theta = np.empty(n_steps), 0.0
        for k in range(n_steps):
            steps[k] = theta**2 / 4 if theta > 0.0 and rng.random() < 0.5 else rng.uniform(0.0, 1.0)
            root = np.sqrt(steps[k])
            theta = root if 2 * root >= theta else (theta + np.sqrt(max(theta**2 - 4 * steps[k], 0.0))) / 2
    else:
        steps = {
            "uniform": lambda: rng.uniform(0.0, 1.0, n_steps),
            "wild": lambda: 10.0 ** rng.uniform(-12, 0, n_steps),
            "rising": lambda: np.sort(rng.uniform(0.0, 1.0, n_steps)),
            "falling": lambda: np.sort(rng.uniform(0.0, 1.0, n_steps))[::-1],
            "zeros": lambda: rng.uniform(0.0, 1.0, n_steps) * (rng.random(n_steps) < 0.5),
            "plateaus": lambda: np.sort(rng.choice([0.1, 0.2, 0.7, 1.0], n_steps))[::-1],
        }[family]()
    return np.ascontiguousarray(steps * 4.0 ** rng.integers(-4, 3))


def falling_caps(rng, n_steps):
    """Nonincreasing G_0..G_N; three of four with plateaus."""
    kind = rng.integers(4)
    if kind == 0:
        return np.sort(10.0 ** rng.uniform(-1, 1, n_steps + 1))[::-1].copy()
    if kind == 1:
        return np.where(np.arange(n_steps + 1) < rng.integers(1, n_steps + 1), 1.0, rng.uniform(0.05, 1.0))
    if kind == 2:
        return np.sort(rng.choice([1.0, 2.0, 3.0, 5.0], n_steps + 1))[::-1].copy()
    return np.where(np.arange(n_steps + 1) < n_steps, 2.0, rng.uniform(0.5, 2.0))


def constant_rate(steps, D, G):
    """The one-pass formula in the working precision of mpmath."""
    D, G, least, total = mpf(D), mpf(G), mpf(0), mpf(0)
    for h in map(mpf, map(float, steps[::-1])):
        if h > 0:
            z = max(least, mp.sqrt(h))
            least, total = z + h / z, total + h
    u = max(least**2, D / G)
    return (D * D / u + G * G * u) / 2 - G * G * total


def bound(steps, D, caps, sigma):
    """R(sigma) as written in the theory."""
    s = mpf(sigma)
    total = (s * mpf(caps[-1])) ** 2
    for h, cap in zip(steps[::-1], caps[-2::-1], strict=True):
        w = mpf(float(h)) / s
        s += w
        total += (w * mpf(float(cap))) ** 2
    return (mpf(D) ** 2 / s**2 + total) / 2


def least_bound(steps, D, caps, around):
    """The minimum of R near log sigma = around, by golden sections; R is flat there, so its value has all digits."""
    low, high = mpf(around) - mpf("0.1"), mpf(around) + mpf("0.1")
    ratio = (mp.sqrt(5) - 1) / 2

    def value(x):
        return bound(steps, D, caps, mp.exp(x))

    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(60):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = value(right)
    return min(at_left, at_right)
