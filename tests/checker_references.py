"""What the checker checks, literally: bounds, functions and quadratic forms as its docstring has them, exactly."""

from fractions import Fraction


def is_semidefinite(matrix, *, strictly=False):
    """Symmetric elimination in exact arithmetic."""
    rest = [list(map(Fraction, row)) for row in matrix]
    while rest:
        pivot, row = rest[0][0], rest[0][1:]
        if pivot < 0 or (pivot == 0 and (strictly or any(row))):
            return False
        rest = [
            [z - (row[i] * row[k] / pivot if pivot else 0) for k, z in enumerate(line[1:])]
            for i, line in enumerate(rest[1:])
        ]
    return True


def sgd_document(**changes):
    doc = {"schema": 1, "kind": "sgd", "value": 9.0, "D": 2.0, "G": [1.0, 1.0], "steps": [0.5], "v": [1.0, 1.0]}
    return {**doc, "s_N": 1.0, **changes}


STEP_MATRIX = {
    "schema": 1, "kind": "step-matrix", "value": 9.0, "bound": "2", "D": 2.0, "G": [1.0], "H": [[]],
    "tau": 1.0, "norms": [0.0], "optimum": [1.0], "minimum": [0.0], "pairs": [],
}  # fmt: skip


def literal_sgd(doc):
    """The bound as the docstring has it."""
    h, v, G = (list(map(Fraction, doc[key])) for key in ("steps", "v", "G"))
    D, s_N, n = Fraction(doc["D"]), Fraction(doc["s_N"]), len(doc["steps"])
    w = [h[k] * v[k + 1] for k in range(n)]
    return (v[0] ** 2 * D**2 + sum(w[k] ** 2 * G[k] ** 2 for k in range(n)) + s_N**2 * G[n] ** 2) / (2 * v[n] * s_N)


def gram(norms, rho):
    n = len(norms)
    return [[norms[i] ** 2 if i == k else rho[min(i, k)] for k in range(n)] for i in range(n)]


def literal_lower(steps, D, G, norms, rho, start):
    """What is wrong with the function, and f(x_N): points, values and pieces one by one, zero steps left out."""
    groups = [[]]
    for k, cap in enumerate(G):
        groups[-1].append(cap)
        if k < len(steps) and steps[k]:
            groups.append([])
    h, n = [step for step in steps if step], len(groups) - 1
    M = gram(norms, rho)

    def inner(a, b):
        return sum(a[i] * M[i][k] * b[k] for i in range(n + 1) for k in range(n + 1))

    unit = [[int(i == k) for i in range(n + 1)] for k in range(n + 1)]
    points = [[0] * (n + 1)]  # x_k - x_0 in terms of the subgradients
    for k in range(n):
        points.append([x - h[k] * e for x, e in zip(points[k], unit[k], strict=True)])
    minimiser = [-x for x in start]
    first = min(inner(g, start) for g in unit)
    f = [first - sum(h[k] * rho[k] for k in range(t)) for t in range(n + 1)]

    def piece(i, x):
        return f[i] + inner(unit[i], [a - b for a, b in zip(x, points[i], strict=True)])

    wrong = set()
    if any(norm > min(caps) for norm, caps in zip(norms, groups, strict=True)):
        wrong.add("a norm exceeds its cap")
    if not is_semidefinite(M):
        wrong.add("the Gram matrix is not semidefinite")
    if inner(start, start) > D * D:
        wrong.add("x_0 is farther than D")
    if min(f) < 0:
        wrong.add("a value lies below the minimum")
    if any(piece(i, points[j]) > f[j] for i in range(n + 1) for j in range(n + 1)):
        wrong.add("the piece of point")
    assert all(piece(i, minimiser) <= 0 for i in range(n + 1))
    return wrong, f[n]


def literal_form(doc):
    """Twice the quadratic form that the sum of the inequalities leaves, as a matrix in (x_0 - x*, g_0, ..., g_N)."""
    n = len(doc["H"])
    H = [[*map(Fraction, row), *[Fraction(0)] * (n - len(row))] for row in doc["H"]]

    def form(d, g):
        x = [-sum(H[k][j] * g[j] for j in range(n)) for k in range(n)]  # x_k - x_0, and x* - x_0 = -d
        found = Fraction(doc["tau"]) * d * d + sum(Fraction(a) * b * b for a, b in zip(doc["norms"], g, strict=True))
        found += sum(2 * Fraction(a) * g[j] * (x[i] - x[j]) for i, j, a in doc["pairs"])
        return found + sum(2 * Fraction(a) * g[j] * (-d - x[j]) for j, a in enumerate(doc["optimum"]))

    unit = [[int(i == k) for i in range(n + 1)] for k in range(n + 1)]
    alone = [form(e[0], e[1:]) for e in unit]
    both = [[form(a[0] + b[0], [s + t for s, t in zip(a[1:], b[1:], strict=True)]) for b in unit] for a in unit]
    return [[(both[i][k] - alone[i] - alone[k]) / 2 for k in range(n + 1)] for i in range(n + 1)]
