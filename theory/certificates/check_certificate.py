"""Check a certificate file in exact rational arithmetic: ``python check_certificate.py FILE.json``.

Standard library only, so that a sceptic can read the whole proof. With subgradients ||g_k|| <= G_k at the points
x_k = x_0 - sum_{j<k} H[k][j] g_j and ||x_0 - x*|| <= D, the two kinds of file prove f(x_N) - f* <= bound by

"sgd" (H[k][j] = steps[j]): 0 < v[0] <= v[1] <= ... <= v[N], s_N > 0, w_k = h_k v[k+1], s_k = s_{k+1} + w_k and
    v[k] s_k nonincreasing in k.   bound = (v[0]^2 D^2 + sum_k w_k^2 G_k^2 + s_N^2 G_N^2) / (2 v[N] s_N)
"step-matrix": nonnegative multipliers on f_i >= f_j + <g_j, x_i - x_j> (pairs), f* >= f_j + <g_j, x* - x_j>
    (optimum), f_i >= f* (minimum), ||g_i||^2 <= G_i^2 (norms), ||x_0 - x*||^2 <= D^2 (tau). The coefficient of every
    f_i cancels and the quadratic form left in (x_0 - x*, g) is positive semidefinite.
    bound = (tau D^2 + sum_i norms_i G_i^2) / 2
"""

import json
import sys
from fractions import Fraction
from operator import mul
from typing import Any


def round_up(x: Fraction, bits: int) -> Fraction:
    """Return the least dyadic number of so many significant bits that is at least ``x`` > 0."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    scale = Fraction(2) ** (bits - exponent + (x < Fraction(2) ** exponent))
    return -((-x * scale) // 1) / scale


def need(condition: bool, what: str) -> None:
    """Fail unless the condition holds."""
    if not condition:
        raise ValueError(f"not a proof: {what}")


def prove_sgd(doc: dict[str, Any], bits: int) -> Fraction:
    """Round the multipliers to dyadic numbers, verify every inequality and return the bound they prove."""
    h, v, G = ([Fraction(x) for x in doc[name]] for name in ("steps", "v", "G"))
    D, s, n = Fraction(doc["D"]), Fraction(doc["s_N"]), len(h)
    snap = (n + 8) * (Fraction(1, 2**50) + Fraction(2, 2**bits))  # this close to its limit, a multiplier moves onto it
    need(len(v) == n + 1 == len(G), "v and G must have one entry more than steps")
    need(s > 0 and min(v) > 0 and min(h, default=0) >= 0, "v and s_N must be positive, steps nonnegative")
    above = round_up(v[n], bits)
    product = first = above * s
    total = (s * G[n]) ** 2
    for k in range(n - 1, -1, -1):
        weight = h[k] * above
        s += weight
        total += (weight * G[k]) ** 2
        limit = product / s
        need(v[k] >= limit * (1 - snap), f"v[{k}] s_{k} < v[{k + 1}] s_{k + 1}")
        below = round_up(limit if v[k] <= limit * (1 + snap) else v[k], bits)
        need(below <= above and below * s >= product, f"v[{k}] > v[{k + 1}]")
        above, product = below, below * s
    return ((above * D) ** 2 + total) / (2 * first)


def dominant(Z: list[list[Fraction]], weights: list[Fraction]) -> bool:
    """Whether a symmetric matrix is diagonally dominant with positive weights, hence semidefinite."""
    return all(
        2 * row[i] * weights[i] >= sum(abs(z) * w for z, w in zip(row, weights, strict=True)) for i, row in enumerate(Z)
    )


def factorises(Z: list[list[Fraction]]) -> bool:
    """Whether Z is L L^T, L from floating-point arithmetic, plus an exact rest that is diagonally dominant."""
    n, bits = len(Z), 60
    if any(Z[i][i] <= 0 for i in range(n)):
        return False
    sizes = [(Z[i][i].denominator.bit_length() - Z[i][i].numerator.bit_length()) // 2 for i in range(n)]
    units = [Fraction(2) ** size for size in sizes]
    Z = [[z * a * b for z, b in zip(row, units, strict=True)] for row, a in zip(Z, units, strict=True)]
    for shift in (2.0**-power for power in range(24, 51, 2)):
        L: list[list[float]] = []
        for i in range(n):
            row: list[float] = []
            for k in range(i):
                row.append((float(Z[i][k]) - sum(map(mul, row, L[k]))) / L[k][k])
            pivot = float(Z[i][i]) - shift - sum(map(mul, row, row))
            if pivot <= 0:
                break
            L.append([*row, pivot**0.5])
        if len(L) < n:
            continue
        whole = [[round(x * 2.0**bits) for x in row] for row in L]
        rest = [[Fraction(0)] * n for _ in range(n)]
        for i in range(n):
            for k in range(i + 1):
                rest[i][k] = rest[k][i] = Z[i][k] - Fraction(sum(map(mul, whole[i], whole[k])), 4**bits)
        if dominant(rest, [Fraction(1)] * n):
            return True
    return False


def prove_step_matrix(doc: dict[str, Any]) -> Fraction:
    """Verify that the function values cancel and that the quadratic form is semidefinite; return the bound."""
    H = [[Fraction(x) for x in row] for row in doc["H"]]
    G, norms, optimum, minimum = ([Fraction(x) for x in doc[key]] for key in ("G", "norms", "optimum", "minimum"))
    tau, D, n = Fraction(doc["tau"]), Fraction(doc["D"]), len(H)
    pairs = [(i, j, Fraction(x)) for i, j, x in doc["pairs"]]
    need(all(len(x) == n for x in (G, norms, optimum, minimum)), "one entry a point is expected everywhere")
    need(all(len(row) == k for k, row in enumerate(H)), "row k of H must have k entries")
    need(tau > 0 and min([*norms, *optimum, *minimum, *(x for _, _, x in pairs)]) >= 0, "a multiplier is negative")
    flow = [Fraction(i == n - 1) + minimum[i] - optimum[i] for i in range(n)]
    Z = [[norms[i] * (i == k) for k in range(n)] for i in range(n)]
    load = optimum[:]
    for i, j, x in pairs:
        need(i != j and min(i, j) >= 0, f"the pair ({i}, {j}) does not exist")
        flow[i], flow[j], load[j] = flow[i] + x, flow[j] - x, load[j] + x
        for k in range(i):
            Z[j][k] -= x * H[i][k]
            Z[k][j] -= x * H[i][k]
    for i in range(n):
        need(flow[i] == 0, f"the multipliers of f_{i} do not sum to zero")
        for k in range(i):
            Z[i][k] += load[i] * H[i][k]
            Z[k][i] += load[i] * H[i][k]
    schur = [[z - optimum[i] * optimum[k] / tau for k, z in enumerate(row)] for i, row in enumerate(Z)]
    if not dominant(schur, G):
        bordered = [[tau, *optimum], *([a, *row] for a, row in zip(optimum, Z, strict=True))]
        need(factorises(bordered), "the quadratic form is not positive semidefinite")
    bound = (tau * D * D + sum(x * g * g for x, g in zip(norms, G, strict=True))) / 2
    need(bound == Fraction(doc["bound"]), "the bound is not the one stated")
    return bound


def prove(doc: dict[str, Any], digits: int = 20) -> Fraction:
    """Return the certified upper bound on f(x_N) - f* or raise ValueError."""
    return prove_sgd(doc, 10 * digits // 3 + 1) if doc["kind"] == "sgd" else prove_step_matrix(doc)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    bound = prove(document)
    need(bound <= Fraction(document["value"]) * (1 + Fraction(1, 10**12)), "the bound exceeds the stated value")
    print(f"proved: f(x_N) - f* <= {float(bound)!r} (exactly {bound.numerator} / {bound.denominator})")
