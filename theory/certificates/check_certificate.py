"""Check a certificate file in exact rational arithmetic: ``python check_certificate.py FILE.json``.

Standard library only, so that a sceptic can read the whole proof. With subgradients ||g_k|| <= G_k at the points
x_k = x_0 - sum_{j<k} H[k][j] g_j of a convex f and ||x_0 - x*|| <= D, the two kinds of file prove f(x_N) - f* <= bound:

"sgd" (H[k][j] = steps[j]): 0 < v[0] <= v[1] <= ... <= v[N], s_N > 0, w_k = h_k v[k+1], s_k = s_{k+1} + w_k and
    v[k] s_k nonincreasing in k.   bound = (v[0]^2 D^2 + sum_k w_k^2 G_k^2 + s_N^2 G_N^2) / (2 v[N] s_N)
"step-matrix": nonnegative multipliers on f_i >= f_j + <g_j, x_i - x_j> (pairs), f* >= f_j + <g_j, x* - x_j>
    (optimum), f_i >= f* (minimum), ||g_i||^2 <= G_i^2 (norms), ||x_0 - x*||^2 <= D^2 (tau). The coefficient of every
    f_i cancels and the quadratic form left in (x_0 - x*, g) is positive semidefinite.
    bound = (tau D^2 + sum_i norms_i G_i^2) / 2

An "sgd" file may hold a "lower" part, which proves that some f of the class reaches a value: subgradients with
<g_t, g_r> = rho_min(t, r) and norms at most G, and x_0 - x* = sum_t start_t g_t. With f_t = f_0 - sum_{k<t} h_k rho_k
the function f(x) = max(0, max_t f_t + <g_t, x - x_t>) is convex, is zero at x*, and has f(x_N) - f* = f_N.
"""

import hashlib
import json
import math
import os
import stat
import struct
import sys
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from itertools import accumulate
from operator import mul
from typing import Any

SCHEMA = 1
FIELDS = {
    "sgd": {"schema", "kind", "value", "D", "G", "steps", "v", "s_N"},
    "step-matrix": {"schema", "kind", "value", "bound", "D", "G", "H", "tau", "norms", "optimum", "minimum", "pairs"},
}
LOWER_FIELDS = {"value", "norms", "rho", "start"}


def need(condition: bool, what: str) -> None:
    """Fail unless the condition holds."""
    if not condition:
        raise ValueError(f"not a proof: {what}")


def unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, unless a key stands twice: a reader would see one value and the proof use the other."""
    names = [key for key, _ in items]
    twice = [key for key in names if names.count(key) > 1] if len(set(names)) < len(names) else []
    need(not twice, f"the key {twice[:1]} stands twice")
    return dict(items)


def parse(text: str) -> dict[str, Any]:
    """Return the JSON object, with no key twice and exactly the fields of its kind."""
    try:
        doc = json.loads(text, object_pairs_hook=unique_keys)
    except RecursionError:
        raise ValueError("not a proof: nested too deeply") from None
    need(isinstance(doc, dict), "the file must hold a JSON object")
    need(type(doc.get("schema")) is int and doc["schema"] == SCHEMA, f"schema must be {SCHEMA}")
    kind = doc.get("kind")
    need(isinstance(kind, str) and kind in FIELDS, f"kind must be one of {', '.join(FIELDS)}")
    _exact_keys(doc, FIELDS[kind] | ({"lower"} & doc.keys() if kind == "sgd" else set()), "the certificate")
    if "lower" in doc:
        _exact_keys(doc["lower"], LOWER_FIELDS, "lower")
    return doc


def _exact_keys(found: Any, keys: set[str], where: str) -> None:
    need(isinstance(found, dict), f"{where} must be an object")
    need(found.keys() == keys, f"{where} must hold {', '.join(sorted(keys))} and nothing else")


def number(x: Any, name: str, *, positive: bool = False) -> Fraction:
    """Return a float64 number exactly; texts, booleans and integers that float64 cannot hold are refused."""
    fits = type(x) is float and math.isfinite(x)
    if type(x) is int:
        fits = abs(x) <= 2**1023 and int(float(x)) == x
    need(fits, f"{name} must be a finite float64 number")
    need(not positive or x > 0, f"{name} must be positive")
    return Fraction(x)


def numbers(values: Any, name: str, size: int | None = None, *, positive: bool = False) -> list[Fraction]:
    """Return a list of float64 numbers exactly."""
    need(isinstance(values, list), f"{name} must be a list")
    need(size is None or len(values) == size, f"{name} must have {size} entries")
    return [number(x, f"{name}[{k}]", positive=positive) for k, x in enumerate(values)]


def scaled_integers(part: Any, name: str, size: int) -> list[Fraction]:
    """Return integers times one power of two: {"exponent": e, "integers": [...]}."""
    _exact_keys(part, {"exponent", "integers"}, name)
    exponent, values = part["exponent"], part["integers"]
    need(type(exponent) is int and abs(exponent) <= 20000, f"{name}.exponent must be an integer of at most 20000")
    need(isinstance(values, list) and len(values) == size, f"{name}.integers must have {size} entries")
    need(all(type(x) is int for x in values), f"{name}.integers must be integers")
    return [Fraction(x) * Fraction(2) ** exponent for x in values]


def round_up(x: Fraction, bits: int) -> Fraction:
    """Return the least dyadic number with so many bits after its first that is at least ``x`` > 0."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    scale = Fraction(2) ** (bits - exponent + (x < Fraction(2) ** exponent))
    return -((-x * scale) // 1) / scale


def prove_sgd(doc: dict[str, Any], bits: int) -> Fraction:
    """Round the multipliers to dyadic numbers, verify every inequality and return the bound they prove."""
    h = numbers(doc["steps"], "steps")
    n = len(h)
    v, G = numbers(doc["v"], "v", n + 1, positive=True), numbers(doc["G"], "G", n + 1, positive=True)
    D, s = number(doc["D"], "D", positive=True), number(doc["s_N"], "s_N", positive=True)
    snap = (n + 8) * (Fraction(1, 2**50) + Fraction(2, 2**bits))  # this close to its limit, a multiplier moves onto it
    need(min(h, default=0) >= 0, "steps must be nonnegative")
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


def prove_lower(doc: dict[str, Any], bits: int = 256) -> Fraction:
    """Verify that the function of the "lower" part belongs to the class and return the f(x_N) - f* it reaches.

    Points between which the step is zero coincide; they count as one, with the least of their caps.
    """
    part, steps, D = doc["lower"], numbers(doc["steps"], "steps"), number(doc["D"], "D", positive=True)
    G = numbers(doc["G"], "G", len(steps) + 1, positive=True)
    need(min(steps, default=0) >= 0, "steps must be nonnegative")
    ends = [k for k, step in enumerate(steps) if step] + [len(steps)]
    caps = [min(G[first : last + 1]) for first, last in zip([0, *(k + 1 for k in ends)], ends, strict=False)]
    h, n = [step for step in steps if step], len(ends) - 1
    norms = numbers(part["norms"], "lower.norms", n + 1, positive=True)
    need(all(a <= b for a, b in zip(norms, caps, strict=True)), "a norm exceeds its cap")
    squares = [x * x for x in norms]
    rho = scaled_integers(part["rho"], "lower.rho", n)
    start = scaled_integers(part["start"], "lower.start", n + 1)

    common = Fraction(0)  # the subgradients exist: the pivots of their Gram matrix, rounded downwards, stay positive
    for t in range(n):
        pivot = squares[t] - common
        need(pivot > 0 or (pivot == 0 and rho[t] == common), f"the Gram matrix is not semidefinite (pivot {t})")
        if pivot > 0 and rho[t] != common:
            common = round_up(common + (rho[t] - common) ** 2 / pivot, bits)
    need(squares[n] >= common, f"the Gram matrix is not semidefinite (pivot {n})")

    products, before, after = [], Fraction(0), sum(start, Fraction(0))  # <g_t, x_0 - x*>
    for t in range(n + 1):
        after -= start[t]
        products.append(before + start[t] * squares[t] + (after * rho[t] if t < n else 0))
        before += start[t] * rho[t] if t < n else 0
    need(sum(a * b for a, b in zip(start, products, strict=True)) <= D * D, "x_0 is farther than D from x*")

    falls = [0, *accumulate(a * b for a, b in zip(h, rho, strict=True))]
    highest = min(products)  # f_0: then no piece is positive at x*, and none of a later point is too high
    levels = [highest - fall for fall in falls]
    need(min(levels) >= 0, "a value lies below the minimum")
    unit = math.lcm(*(x.denominator for x in h))  # whole numbers from here on, for speed
    other = math.lcm(*(x.denominator for x in rho + squares))
    h_, rho_, squares_ = ([int(x * u) for x in values] for values, u in ((h, unit), (rho, other), (squares, other)))
    S = [0, *accumulate(h_)]
    T = [0, *accumulate(a * b for a, b in zip(h_, rho_, strict=True))]
    for i in range(n):  # f_j >= f_i + <g_i, x_j - x_i> for j > i
        base = h_[i] * (squares_[i] - rho_[i]) - rho_[i] * S[i + 1] + T[i + 1]
        slope = rho_[i]
        need(all(base + slope * S[j] >= T[j] for j in range(i + 1, n + 1)), f"the piece of point {i} is too high")
    return levels[n]


def dominant(Z: list[list[Fraction]], weights: list[Fraction]) -> bool:
    """Whether a symmetric matrix is diagonally dominant with positive weights, hence semidefinite."""
    return all(
        2 * row[i] * weights[i] >= sum(abs(z) * w for z, w in zip(row, weights, strict=True)) for i, row in enumerate(Z)
    )


def factorises(given: list[list[Fraction]]) -> bool:
    """Whether a matrix is L L^T, L from floating-point arithmetic, plus an exact rest that is diagonally dominant."""
    n, bits = len(given), 60
    if any(given[i][i] <= 0 for i in range(n)):
        return False
    sizes = [(given[i][i].denominator.bit_length() - given[i][i].numerator.bit_length()) // 2 for i in range(n)]
    units = [Fraction(2) ** size for size in sizes]
    Z = [[z * a * b for z, b in zip(row, units, strict=True)] for row, a in zip(given, units, strict=True)]
    if max(abs(z) for row in Z for z in row) > 4:  # diagonal entries lie between 1/4 and 4
        return False
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
    need(isinstance(doc["H"], list) and len(doc["H"]) > 0, "H must be a list of rows")
    n = len(doc["H"])
    H = [numbers(row, f"H[{k}]", k) for k, row in enumerate(doc["H"])]
    norms, optimum, minimum = (numbers(doc[key], key, n) for key in ("norms", "optimum", "minimum"))
    G, D = numbers(doc["G"], "G", n, positive=True), number(doc["D"], "D", positive=True)
    tau = number(doc["tau"], "tau", positive=True)
    need(isinstance(doc["pairs"], list), "pairs must be a list")
    pairs: list[tuple[int, int, Fraction]] = []
    for index, entry in enumerate(doc["pairs"]):
        need(isinstance(entry, list) and len(entry) == 3, f"pairs[{index}] must be [i, j, multiplier]")
        i, j, x = entry
        exists = type(i) is int and type(j) is int and i != j and min(i, j) >= 0 and max(i, j) < n
        need(exists, f"pairs[{index}] must name two different points below {n}")
        pairs.append((i, j, number(x, f"pairs[{index}]")))
    need(min([*norms, *optimum, *minimum, *(x for _, _, x in pairs)]) >= 0, "a multiplier is negative")
    flow = [Fraction(i == n - 1) + minimum[i] - optimum[i] for i in range(n)]
    Z = [[norms[i] * (i == k) for k in range(n)] for i in range(n)]
    load = optimum[:]
    for i, j, x in pairs:
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
    stated = doc["bound"]
    well_formed = isinstance(stated, str) and stated == f"{bound.numerator}/{bound.denominator}".removesuffix("/1")
    need(well_formed, "the bound is not the one stated")
    return bound


def prove(doc: dict[str, Any], digits: int = 20) -> Fraction:
    """Return the certified upper bound on f(x_N) - f* of a parsed document or raise ValueError."""
    return prove_sgd(doc, 10 * digits // 3 + 1) if doc["kind"] == "sgd" else prove_step_matrix(doc)


def statement(doc: dict[str, Any]) -> str:
    """Return the method, N, D and G of a proved document in words, the steps by their hash and their first values."""
    rows = [doc["steps"]] if doc["kind"] == "sgd" else doc["H"]
    steps = [float(x) for row in rows for x in row]
    size = len(doc["G"]) - 1
    digest = hashlib.sha256(struct.pack(f"<{len(steps)}d", *steps)).hexdigest()[:16]
    head = ", ".join(map(repr, steps[:4])) + (", ..." if len(steps) > 4 else "")
    kind, what = ("SGD", "steps") if doc["kind"] == "sgd" else ("step matrix", "rows of H")
    G = [float(x) for x in doc["G"]]
    caps = f"{G[0]!r}" if min(G) == max(G) else f"{', '.join(map(repr, G[:4]))}, ... (from {min(G)!r} to {max(G)!r})"
    return f"{kind}, N = {size}, {what} {head or 'none'} (sha256 {digest}), D = {float(doc['D'])!r}, G = {caps}"


def decimal(x: Fraction, rounding: str) -> Decimal:
    """Return 17 significant digits, rounded so that the printed statement is no stronger than the proved one."""
    context = Context(prec=17, rounding=rounding, Emin=-99999, Emax=99999)
    shift = (x.numerator.bit_length() - x.denominator.bit_length()) * 30103 // 100000
    whole = x * Fraction(10) ** (40 - shift)
    down = whole.numerator // whole.denominator
    digits = down + (rounding == ROUND_CEILING and whole.denominator > 1)
    return context.create_decimal(digits).scaleb(shift - 40, context)


def conclude(text: str) -> tuple[str, Fraction, Fraction]:
    """Return the statement that the text of a file proves, in words, and the two ends of its interval."""
    doc = parse(text)
    bound, value = prove(doc), number(doc["value"], "value", positive=True)
    need(bound <= value * (1 + Fraction(1, 10**12)), "the bound exceeds the stated value")
    words = statement(doc)
    if "lower" not in doc:
        return f"{words}\nproved: f(x_N) - f* <= {decimal(bound, ROUND_CEILING)}", Fraction(0), bound
    reached = prove_lower(doc)
    need(number(doc["lower"]["value"], "lower.value", positive=True) <= reached, "the lower value is not reached")
    interval = f"[{decimal(reached, ROUND_FLOOR)}, {decimal(bound, ROUND_CEILING)}]"
    return f"{words}\nproved: the worst case of f(x_N) - f* lies in {interval}", reached, bound


def read(path: str) -> str:
    """Return the text of a regular file."""
    need(stat.S_ISREG(os.stat(path).st_mode), f"{path} is not a file")
    with open(path, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python check_certificate.py FILE.json")
    try:
        print(conclude(read(sys.argv[1]))[0])
    except (ValueError, OSError) as error:
        sys.exit(f"refused: {' '.join(str(error).split())[:300]}")
