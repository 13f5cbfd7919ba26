import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import lastiterate as li
from lastiterate.solvers.design.design import design_schedule
from lastiterate.theory.base.validation import InputError

GAP = 1e-9


def varying(n_steps, seed=0):
    return np.exp(np.random.default_rng(seed).uniform(-1.0, 1.0, n_steps + 1))


def falling(n_steps, seed=0):
    return np.sort(varying(n_steps, seed))[::-1]


def checked(design, D=1.0, G=1.0):
    """What must hold of any design: the rate evaluated again, the certificate and the residual."""
    if design.kind == "exact":
        assert design.value == li.exact_rate(design.steps, D, G).value
    else:
        assert design.value <= li.exact_rate(design.steps, D, G).value * (1 + GAP)
    assert 0.0 <= design.gap < GAP
    assert design.residual < 1e-10
    assert design.steps.min() >= 0.0
    return design


def limits_with_a_hole():
    cap = np.minimum(0.06, 0.004 * np.arange(1, 100))
    cap[45:55] = 0.01
    return cap


TABLE = {  # N = 99: what was found by a grid-free search in other code, with a certificate of its own
    "free": ({}, 0.100000000000),
    "cap": ({"max_step": 0.06}, 0.101937615411),
    "low cap": ({"max_step": 0.02}, 0.155362925353),
    "floor": ({"min_step": 0.02}, 0.113840373924),
    "cap and floor": ({"max_step": 0.06, "min_step": 0.01}, 0.106610322151),
    "capped warm-up, decay": ({"warmup": 10, "max_step": 0.06, "monotone": True}, 0.104228417052),
    "warm-up": ({"warmup": 10}, 0.101160844177),
    "budget": ({"budget": 3.0}, 0.112803030303),
    "prefix": ({"prefix": [0.03] * 30, "max_step": 0.07}, 0.108850265387),
    "hole": ({"max_step": limits_with_a_hole()}, None),
    "hole, decay": ({"max_step": limits_with_a_hole(), "monotone": True}, None),
}


@pytest.mark.parametrize("case", TABLE)
def test_eleven_sets_vs_table_and_cone_program(case):
    cp = pytest.importorskip("cvxpy")
    options, known = TABLE[case]
    design = checked(design_schedule(99, **options))
    if known is not None:
        assert design.value == pytest.approx(known, abs=1e-12)
    h, u = cp.Variable(99, nonneg=True), cp.Variable(100)
    chain = cp.SOC(u[:-1] + u[1:], cp.vstack([2 * (u[1:] + h), u[:-1] - u[1:]]), axis=0)
    shape = np.arange(1, 11) / 10
    literal = {
        "max_step": lambda cap: h <= cap,
        "min_step": lambda floor: h >= floor,
        "warmup": lambda _: h[:10] == shape * h[9],
        "monotone": lambda _: cp.diff(h[9 if "warmup" in options else 0 :]) <= 0,
        "budget": lambda total: cp.sum(h) <= total,
        "prefix": lambda steps: h[: len(steps)] == steps,
    }
    rows = [literal[name](value) for name, value in options.items()]
    problem = cp.Problem(cp.Minimize(0.5 * (cp.inv_pos(u[0]) + u[0]) - cp.sum(h)), [chain, *rows])
    assert design.value == pytest.approx(problem.solve(solver="CLARABEL"), rel=1e-5)


@pytest.mark.parametrize("n_steps", [1, 2, 17, 300])
def test_unconstrained_design_vs_closed_form(n_steps):
    for D, G in ((1.0, 1.0), (3.0, 0.2), (1.0, falling(n_steps)), (2.0, varying(n_steps))):
        design = checked(design_schedule(n_steps, D, G), D, G)
        best = li.optimal_schedule(n_steps, D, G)
        assert design.value == pytest.approx(best.value, rel=GAP)
        assert design.unconstrained == pytest.approx(best.value, rel=1e-12)
        np.testing.assert_allclose(design.steps, best.steps, rtol=0, atol=1e-4 * best.steps.max())


def slsqp(start, D, G, constraints, n_steps):
    """Slow reference: SLSQP on the exact rate under the literal constraints."""
    rows = [{"type": "ineq", "fun": fun} for fun in constraints]
    found = optimize.minimize(
        lambda h: li.exact_rate(np.maximum(h, 0.0), D, G).value,
        start,
        method="SLSQP",
        bounds=[(0.0, None)] * n_steps,
        constraints=rows,
        options={"maxiter": 400, "ftol": 1e-13},
    )
    return found.fun if min(np.min(fun(found.x)) for fun in constraints) > -1e-9 else np.inf


CASES = {
    "max": (lambda h: [0.2 - h], {"max_step": 0.2}),
    "decay": (lambda h: [h[:-1] - h[1:]], {"monotone": True}),
    "capped decay": (
        lambda h: [0.25 - h, h[:-1] - h[1:], h - 0.02],
        {"max_step": 0.25, "min_step": 0.02, "monotone": True},
    ),
    "budget": (lambda h: [1.2 - h.sum()], {"budget": 1.2}),
    "ratio": (lambda h: [1.15 * h[1:] - h[:-1], 1.15 * h[:-1] - h[1:]], {"max_ratio": 1.15}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bounds", ["constant", "falling"])
def test_design_vs_slsqp(case, bounds):
    literal, options = CASES[case]
    n_steps = 12
    G = np.ones(n_steps + 1) if bounds == "constant" else falling(n_steps, 1)
    design = checked(design_schedule(n_steps, G=G, **options), G=G)
    assert min(float(np.min(row)) for row in literal(design.steps)) >= -1e-12
    count = len(literal(design.steps))
    rows = [lambda h, i=i: np.atleast_1d(literal(h)[i]) for i in range(count)]
    for start in (np.full(n_steps, 0.1), design.steps):
        reached = slsqp(start, 1.0, G, rows, n_steps)
        assert design.value <= reached * (1 + 1e-7)
    assert reached == pytest.approx(design.value, rel=1e-6)


def test_increasing_bounds_vs_worst_case():
    G = varying(9, 3)
    design = checked(design_schedule(9, G=G, max_step=0.2, min_step=0.01), G=G)
    assert design.kind == "upper"
    H = np.tril(np.tile(np.append(design.steps, 0.0), (10, 1)), -1)
    assert design.value == pytest.approx(li.worst_case(H, D=1.0, G=G).value, rel=1e-6)
    generator = np.random.default_rng(0)
    for _ in range(3):
        other = np.clip(design.steps * np.exp(generator.normal(0.0, 0.3, 9)), 0.01, 0.2)
        H = np.tril(np.tile(np.append(other, 0.0), (10, 1)), -1)
        assert li.worst_case(H, D=1.0, G=G).value >= design.lower_bound * (1 - 1e-7)


def test_everything_at_once():
    n_steps, prefix = 60, [0.05, 0.04]
    design = checked(
        design_schedule(
            n_steps,
            max_step=0.14,
            min_step=1e-3,
            monotone=True,
            warmup=5,
            blocks=6,
            prefix=prefix,
            tail=[0.002, 0.001],
            budget=4.5,
            max_ratio=6.0,
        )
    )
    h = design.steps
    np.testing.assert_array_equal(h[:2], prefix)
    np.testing.assert_array_equal(h[-2:], [0.002, 0.001])
    np.testing.assert_allclose(h[2:7], h[6] * np.arange(1, 6) / 5, rtol=1e-14)
    assert np.all(np.diff(h[6:]) <= 1e-14)
    assert h.min() >= 1e-3
    assert h.max() <= 0.14
    assert h.sum() <= 4.5 + 1e-12
    assert np.max(np.maximum(h[1:] / h[:-1], h[:-1] / h[1:])) <= 6.0 + 1e-10
    for k in range(7, n_steps - 3):
        if k // 6 == (k + 1) // 6:
            assert h[k] == h[k + 1]


def test_prefix_vs_optimal_continuation():
    prefix = np.full(30, 0.08)
    for G in (1.0, falling(80)):
        design = checked(design_schedule(80, G=G, prefix=prefix), G=G)
        rest = li.optimal_continuation(prefix=prefix, n_steps=50, G=G)
        assert design.value == pytest.approx(rest.value, rel=1e-9)


def test_warmup_shape_and_block_lengths():
    shape = [0.1, 0.5, 0.4]
    design = checked(design_schedule(20, warmup=shape, blocks=[5, 5, 10], monotone=True))
    h = design.steps
    np.testing.assert_allclose(h[:3], h[1] * np.array(shape) / 0.5, rtol=1e-12)
    assert h[3] == h[4]
    assert np.ptp(h[5:10]) == 0.0 == np.ptp(h[10:])


def test_nothing_left_to_choose():
    design = checked(design_schedule(2, prefix=[0.3, 0.2]))
    np.testing.assert_array_equal(design.steps, [0.3, 0.2])
    assert checked(design_schedule(3, max_step=0.0, D=2.0), D=2.0).value == 2.0
    assert checked(design_schedule(4, max_step=0.0, blocks=2)).value == 1.0
    G = np.array([3.0, 2.0, 4.0, 5.0])
    assert checked(design_schedule(3, G=G, max_step=0.0), G=G).value == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("G", [1.0, falling(20), varying(20)])
@pytest.mark.parametrize("options", [{"max_step": 0.1}, {"max_step": 0.3, "blocks": 3}, {"budget": 1.0}])
def test_units_do_not_matter(G, options):
    plain = checked(design_schedule(20, G=G, **options), G=G)
    for length, slope in ((1e-6, 1e6), (2.0**40, 0.5), (3e100, 7e-30)):
        unit = length / slope
        sized = {name: value if name == "blocks" else value * unit for name, value in options.items()}
        design = checked(design_schedule(20, length, slope * np.asarray(G), **sized), length, slope * np.asarray(G))
        assert design.value == pytest.approx(length * slope * plain.value, rel=GAP)
        np.testing.assert_allclose(design.steps, unit * plain.steps, rtol=0, atol=1e-5 * unit * plain.steps.max())


@pytest.mark.parametrize("huge", [1e3, 1e8, 1e9, 1e12, 1e300])
def test_limits_that_do_not_bind(huge):
    for options in ({"max_step": huge}, {"budget": huge}, {"max_step": huge, "budget": huge, "monotone": True}):
        assert checked(design_schedule(20, **options)).value == pytest.approx(21**-0.5, rel=1e-12)
    blocks = checked(design_schedule(20, blocks=3, max_step=huge, budget=huge))
    assert blocks.value == pytest.approx(design_schedule(20, blocks=3).value, rel=1e-12)


def test_other_units_of_extreme_size_are_refused():
    with pytest.raises(InputError, match="G / D"):
        design_schedule(3, 1e-200, 1e200)
    with pytest.raises(InputError, match="D \\* G"):
        design_schedule(3, 1e200, 1e200)
    with pytest.raises(InputError, match="lower limits"):
        design_schedule(3, min_step=1e200)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_step": st.floats(0.03, 1.0) | st.just(1e9),
        "min_step": st.floats(0.0, 0.003),
        "monotone": st.booleans(),
        "warmup": st.integers(0, 3),
        "blocks": st.integers(1, 5),
        "budget": st.floats(0.1, 5.0),
        "max_ratio": st.floats(1.5, 10.0),
        "prefix": st.just(np.array([0.02])),
        "tail": st.just(np.array([0.004])),
    },
)


@pytest.mark.parametrize(
    ("n_steps", "options"),
    [
        (23, {"max_step": 1e9, "warmup": 2, "budget": 0.10960769653320314}),
        (5, {"max_step": 1e9, "min_step": 2.9864435792103004e-300, "blocks": 2}),
    ],
)
def test_limits_far_apart_are_certified(n_steps, options):
    checked(design_schedule(n_steps, 1.0, 1.0, **options), G=1.0)


@settings(max_examples=40)
@given(
    n_steps=st.integers(5, 25),
    options=OPTIONS,
    bounds=st.sampled_from([lambda _n, _s: 1.0, falling, varying]),
    seed=st.integers(0, 99),
)
def test_random_mixes_are_certified(n_steps, options, bounds, seed):
    G = bounds(n_steps, seed)
    try:
        design = design_schedule(n_steps, 1.0, G, **options)
    except InputError as error:
        if " and " not in error.argument:
            raise
        return
    checked(design, G=G)
    if "max_step" in options:
        assert design.steps.max() <= options["max_step"]
    if "budget" in options:
        assert design.steps.sum() <= options["budget"] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"max_step": 0.1, "min_step": 0.2}, "max_step and min_step"),
        ({"prefix": [0.5], "max_step": 0.1}, "prefix and max_step"),
        ({"min_step": 0.1, "budget": 0.5}, "min_step and budget"),
        ({"prefix": [0.1], "min_step": 0.2}, "prefix and min_step"),
        ({"prefix": [0.1, 0.9], "max_ratio": 2.0}, "prefix and max_ratio"),
        ({"prefix": [0.1] * 6, "tail": [0.2] * 4, "monotone": True}, "prefix and tail and monotone"),
        ({"prefix": [0.1] * 6, "tail": [0.1] * 6}, "prefix and tail"),
        ({"warmup": 5, "max_step": 0.1, "min_step": 0.05}, "max_step and min_step and warmup"),
        ({"warmup": 5, "max_step": 0.1, "min_step": np.linspace(0.0, 0.2, 10)}, "max_step and min_step"),
        ({"prefix": [1.0], "blocks": 2, "budget": 0.5, "min_step": 0.01}, "prefix and budget"),
        ({"warmup": 2, "max_ratio": 1.7, "blocks": 3, "max_step": 0.1}, "warmup and max_ratio"),
        ({"tail": [0.0], "max_ratio": 3.0}, "tail and max_ratio"),
    ],
)
def test_contradictions_are_named(options, names):
    for size in (1.0, 1e-9):
        scaled = {
            name: value if name in ("monotone", "max_ratio", "warmup", "blocks") else size * np.asarray(value)
            for name, value in options.items()
        }
        with pytest.raises(InputError) as error:
            design_schedule(10, D=size, **scaled)
        assert error.value.argument == names


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 0},
        {"D": -1.0},
        {"G": [1.0, 2.0]},
        {"max_step": -0.1},
        {"max_step": [0.1, 0.2]},
        {"min_step": np.nan},
        {"warmup": 11},
        {"warmup": [0.0, 0.0]},
        {"blocks": 0},
        {"blocks": [3, 3]},
        {"prefix": [0.1] * 11},
        {"prefix": [-0.1]},
        {"budget": 0.0},
        {"max_ratio": 0.5},
        {"monotone": "no"},
    ],
)
def test_bad_options(options):
    with pytest.raises(InputError):
        design_schedule(**{"n_steps": 10, **options})


def test_unknown_option():
    with pytest.raises(TypeError, match="max_steps"):
        design_schedule(10, max_steps=0.1)


def test_result_is_a_value():
    cap = np.full(10, 0.2)
    design = design_schedule(10, max_step=cap)
    before = design.steps.copy()
    cap[:] = 1.0
    np.testing.assert_array_equal(design.steps, before)
    assert float(design) == design.value
    assert len(repr(design)) < 120
    assert "\n" not in repr(design)
    assert hash(design) == hash(design)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(design)).steps, design.steps)
    with pytest.raises(ValueError, match="read-only"):
        design.steps[0] = 1.0


@pytest.mark.parametrize("budget", [0.0625, 0.25, 0.3])
def test_a_budget_below_the_caps_where_only_the_sum_counts(budget):
    """With short steps the rate is D G - G^2 S: every schedule of that sum is best, and the price is at its top."""
    design = li.design_schedule(5, budget=budget, max_step=0.0625)
    assert design.steps.sum() == pytest.approx(budget, rel=1e-12)
    assert design.value == pytest.approx(1.0 - budget, rel=1e-12)
    assert design.residual <= 1e-12
    assert design.gap <= 1e-9
