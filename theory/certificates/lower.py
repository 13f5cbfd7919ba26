"""The function that attains the exact rate, as numbers precise enough for a proof: the lower side of a certificate.

For nonincreasing G the worst case of SGD is attained by an explicit function (the theorem of `exact_rate`), with
<g_t, g_r> = rho_min(t, r) and ||g_t|| = G_t, and x_0 - x* = s_0 (sum_k w_k g_k + s_N g_N). Here s, w and rho are
computed with many digits; then the Gram matrix is mixed with a trace of orthogonal subgradients, which leaves every
inequality a margin, however small, and the numbers are rounded. What they prove is for the checker to say.
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .check_certificate import prove_lower

__all__ = ["lower_part"]

Array = npt.NDArray[np.float64]

MIXTURE = Decimal(10) ** -13
GUARD = 60
TURNS = 60


def lower_part(steps: Array, D: float, G: Array) -> dict[str, Any]:
    """Return the "lower" part of a certificate file, for the running minimum of G where it increases.

    A function whose subgradients stay below the running minimum belongs to the class of G, so the value is a lower
    bound for any G and the exact rate for a nonincreasing one.
    """
    ends = np.append(np.flatnonzero(steps > 0.0), steps.size)
    caps = np.minimum.accumulate(G)[ends]
    taken = steps[steps > 0.0]
    spread = math.log10(float(taken.size)) + math.log10(taken.max()) - math.log10(taken.min()) if taken.size else 0.0
    with localcontext() as context:
        context.prec = GUARD + math.ceil(max(0.0, spread) + 2.0 * math.log10(caps[0] / caps[-1]))
        context.Emin, context.Emax = -999999, 999999
        part = _part([Decimal(x) for x in taken.tolist()], Decimal(D), [Decimal(x) for x in caps.tolist()])
    part["norms"] = caps.tolist()
    reached = prove_lower({"steps": steps.tolist(), "D": D, "G": G.tolist(), "lower": part})
    value = float(reached)
    return {"value": value if Fraction(value) <= reached else float(np.nextafter(value, 0.0)), **part}


def _part(h: list[Decimal], D: Decimal, G: list[Decimal]) -> dict[str, Any]:
    """Return rho and the coefficients of x_0 - x*, rounded to multiples of one power of two each."""
    n, squares = len(h), [g * g for g in G]
    s = _path(h, _sigma(h, D, squares))
    w = [*(h[k] / s[k + 1] for k in range(n)), s[n]]
    rho, excess = [], D * D / s[0] ** 3
    for k in range(n):
        rho.append((excess - w[k] * squares[k]) / s[k + 1])
        excess -= rho[k] * w[k]
    rho = [(1 - MIXTURE) * r for r in rho]
    length, before, after = Decimal(0), Decimal(0), sum(w, Decimal(0))  # |x_0 - x*|^2 for the coefficients w
    for k in range(n + 1):
        after -= w[k]
        length += w[k] * (before + w[k] * squares[k] + (after * rho[k] if k < n else 0))
        before += w[k] * rho[k] if k < n else 0
    digits = _digits()
    share = D / length.sqrt() * (1 - Decimal(10) ** (digits // -2))
    return {
        "rho": _scaled_integers(rho, max(squares), digits),
        "start": _scaled_integers([share * x for x in w], max(share * x for x in w), digits),
    }


def _path(h: list[Decimal], sigma: Decimal) -> list[Decimal]:
    """Return s_0, ..., s_N with s_N = sigma."""
    s = [sigma]
    for step in reversed(h):
        s.append(s[-1] + step / s[-1])
    return s[::-1]


def _sigma(h: list[Decimal], D: Decimal, squares: list[Decimal]) -> Decimal:
    """Return the minimising sigma: theta_N where the rate does not fall after it, else the root of its slope.

    d_0 = G_0^2 - D^2 / s_0^4, d_{t+1} = (1 - lambda_t^2) d_t - (G_t^2 - G_{t+1}^2), and sigma d_N is the slope.
    """
    if not h:
        return (D / squares[0].sqrt()).sqrt()
    tiny = Decimal(10) ** (-2 * _digits())

    def slope(sigma: Decimal, stop: int) -> Decimal:
        s = _path(h, sigma)
        d = squares[0] - (D / s[0] ** 2) ** 2
        for k in range(stop):
            if d < 0:
                break  # it stays negative
            share = h[k] / s[k + 1] ** 2
            d = max((1 - share) * (1 + share), tiny) * d - (squares[k] - squares[k + 1])
        return d

    n, theta, last = len(h), Decimal(0), 0
    for k, step in enumerate(h):
        if 2 * step.sqrt() >= theta:
            theta, last = step.sqrt(), k
        else:
            theta = (theta + max(theta * theta - 4 * step, Decimal(0)).sqrt()) / 2
    if squares[last] == squares[n] and slope(theta, last) >= 0:
        return theta
    low, high = theta, 2 * theta
    while slope(high, n) < 0:
        low, high = high, 2 * high
    return _root(lambda sigma: slope(sigma, n), low, high)


def _root(slope: Any, low: Decimal, high: Decimal) -> Decimal:
    """Return the point where the slope turns from negative to at least zero: halving, then secants."""
    for _ in range(TURNS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    a, b = high, high + (high - low)
    fa, fb = slope(a), slope(b)
    for _ in range(TURNS):
        if fa == fb:
            break
        a, b = b, b - fb * (b - a) / (fb - fa)
        fa, fb = fb, slope(b)
        if b == a:
            break
    return b if low <= b <= 2 * high else high


def _digits() -> int:
    with localcontext() as context:
        return context.prec


def _scaled_integers(values: list[Decimal], unit: Decimal, digits: int) -> dict[str, Any]:
    """Round to multiples of a power of two, so many digits below ``unit``."""
    top = math.ceil(math.log2(float(unit.scaleb(-unit.adjusted())))) + math.ceil(unit.adjusted() * math.log2(10.0))
    exponent = top - math.ceil(digits * math.log2(10.0))
    grid = Fraction(2) ** exponent
    return {"exponent": exponent, "integers": [math.floor(Fraction(x) / grid) for x in values]}
