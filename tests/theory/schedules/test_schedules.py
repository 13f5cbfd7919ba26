import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastiterate.theory import schedules
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules import FAMILIES
from lastiterate.theory.schedules.sampling import normalised


def sampled(profile, n):
    """Plain loop over s = (k + 1)/(N + 1), divided by the maximum."""
    values = [profile((k + 1) / (n + 1)) for k in range(n)]
    return np.array(values) / max(values)


PROFILES = {
    "constant": lambda s: 1.0,
    "linear": lambda s: 1 - s,
    "polynomial:power=3": lambda s: (1 - s) ** 3,
    "one_minus_sqrt": lambda s: 1 - math.sqrt(s),
    "cosine": lambda s: (1 + math.cos(math.pi * s)) / 2,
    "cosine:minimum=0.1": lambda s: 0.1 + 0.9 * (1 + math.cos(math.pi * s)) / 2,
    "generalised_cosine:power=0.5,minimum=0.2": lambda s: 0.2 + 0.8 * ((1 + math.cos(math.pi * s)) / 2) ** 0.5,
    "circular:power=2": lambda s: math.sqrt(1 - s * s) ** 2,
    "exponential:end=0.001": lambda s: 0.001**s,
    "stepwise": lambda s: 0.1 ** ((s >= 0.3) + (s >= 0.6) + (s >= 0.9)),
    "stepwise:milestones=0.5,factor=0.5": lambda s: 0.5 ** (s >= 0.5),
    "wsd:cooldown=0.25": lambda s: min(1.0, (1 - s) / 0.25),
    "wsd:cooldown=0.25,kind=sqrt": lambda s: 1 - math.sqrt(max(0.0, (s - 0.75) / 0.25)),
    "wsd:cooldown=0.25,warmup=0.5": lambda s: min(1.0, (1 - s) / 0.25, s / 0.5),
    "rex": lambda s: (1 - s) / (0.5 + (1 - s) / 2),
    "generalised-rex:b=0.1": lambda s: (1 - s) / (1 - 0.9 * s),
    "two_point_linear:x0=0.2,y1=0.5,dx1=0.25,dx2=0.5,dy2=0.4": lambda s: float(
        np.interp(s, [0, 0.2, 0.4, 0.7, 1], [0, 1, 0.5, 0.2, 0])
    ),
}


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("text", PROFILES)
def test_families_vs_plain_loop(text, n):
    np.testing.assert_allclose(schedules.parse(text, n), sampled(PROFILES[text], n), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("peak", [5e-324, 1e-310, 1e-300, 1.0, 1e308])
def test_any_peak_divides_without_a_warning(peak):
    for n in range(1, 20):  # every remainder of a processor's vectors
        values = peak * np.linspace(1.0, 0.0, n)
        assert normalised(values).tolist() == [float(Fraction(value) / Fraction(peak)) for value in values]


def test_step_indexed_families_vs_plain_loop():
    np.testing.assert_allclose(schedules.inverse_sqrt(9), [1 / math.sqrt(k + 1) for k in range(9)], rtol=1e-15)
    np.testing.assert_allclose(schedules.inverse_time(9, offset=5), [5 / (k + 5) for k in range(9)], rtol=1e-15)


@pytest.mark.parametrize("n", [5, 7, 10, 33, 100, 1000])
@pytest.mark.parametrize(
    ("peak", "start", "end"), [(0.3, 0.04, 4e-6), (0.5, 0.1, 0.0), (1 / 3, 0.04, 0.01), (0.9, 0.5, 0.2)]
)
def test_one_cycle_vs_torch(n, peak, start, end):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    final = start / end if end else 1e300
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        1.0,
        total_steps=n,
        pct_start=peak,
        div_factor=1 / start,
        final_div_factor=final,
        cycle_momentum=False,
    )
    theirs = []
    for _ in range(n):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(theirs) < n else None
    ours = schedules.one_cycle(n, peak=peak, start=start, end=end)
    np.testing.assert_allclose(ours, np.array(theirs) / max(theirs), rtol=1e-12, atol=1e-15)


def test_wsd_without_a_stable_phase_for_all_pairs_that_add_up_to_one():
    for tenths in range(1001):
        cooldown, warmup = tenths / 1000, 1 - tenths / 1000
        for pair in ((cooldown, warmup), (cooldown, (1000 - tenths) / 1000), (cooldown, round(1.0 - cooldown, 3))):
            values = schedules.wsd(10, cooldown=pair[0], warmup=pair[1])
            assert values.max() == 1.0
    with pytest.raises(InputError, match="warmup"):
        schedules.wsd(10, cooldown=0.9, warmup=0.1 + 1e-9)
    with pytest.raises(InputError, match="cooldown"):
        schedules.wsd(10, cooldown=1.1, warmup=0.0)


@pytest.mark.parametrize("warmup", [0.29, 0.57, 0.58, 0.01, 0.07, 1.0])
def test_rewarm_takes_whole_steps_of_warmup(warmup):
    values = schedules.rewarm(200, warmup=warmup, minimum=0.0)
    assert int(np.argmax(values[100:])) + 1 == round(100 * warmup)


def test_rewarm_vs_gpt_neox_formula():
    n, first, ramp, low = 300, 200, 10, 0.1
    values = schedules.rewarm(n, finished=2 / 3, warmup=0.1, minimum=low)
    new = n - first
    for it in range(1, new + 1):
        if it <= ramp:
            expected = max(1, it) / ramp
        else:
            expected = low + (1 - low) / 2 * (math.cos(math.pi * (it - ramp) / (new + 1 - ramp)) + 1)
        assert values[first + it - 1] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(values[:first], schedules.cosine(first, minimum=low), rtol=1e-15)


@given(st.sampled_from(sorted(FAMILIES)), st.integers(2, 300))
def test_every_family_is_nonnegative_finite_with_maximum_one(name, n):
    steps = FAMILIES[name](n)
    assert steps.shape == (n,)
    assert steps.dtype == np.float64
    assert steps.max() == 1.0
    assert steps.min() >= 0.0


fraction = st.floats(0, 1)


@given(n=st.integers(1, 60), x0=fraction, y1=fraction, dx1=fraction, dx2=fraction, dy2=fraction)
def test_two_point_families_stay_in_range_for_all_parameters(n, x0, y1, dx1, dx2, dy2):
    for family in (schedules.two_point_linear, schedules.two_point_spline):
        try:
            steps = family(n, x0=x0, y1=y1, dx1=dx1, dx2=dx2, dy2=dy2)
        except InputError as error:  # every sampled step is zero
            assert error.argument == "shape"  # noqa: PT017
            continue
        assert 0.0 <= steps.min() <= steps.max() == 1.0


@given(
    n=st.integers(1, 60),
    shape=st.tuples(*[st.floats(0, 1, allow_subnormal=False)] * 7),
)
def test_smooth_nonmonotonic_stays_in_range_for_all_parameters(n, shape):
    try:
        steps = schedules.smooth_nonmonotonic(n, *shape)
    except InputError as error:
        assert error.argument == "shape"  # noqa: PT017
    else:
        assert 0.0 <= steps.min() <= steps.max() == 1.0


def test_combinators_vs_hand_written_lists():
    np.testing.assert_allclose(schedules.warmup([2, 2, 2], 2, start=0.5), [1.5, 2.0, 2.0])
    np.testing.assert_allclose(schedules.cooldown([1, 1, 1], 1, kind="sqrt"), [1, 1, 1 - math.sqrt(0.5)])
    np.testing.assert_allclose(schedules.join([1], [2, 3]), [1, 2, 3])
    np.testing.assert_allclose(schedules.scale([1, 2], 0.5), [0.5, 1.0])
    np.testing.assert_allclose(schedules.warmup([1.0, 1.0], 0), [1.0, 1.0])
    np.testing.assert_allclose(schedules.cooldown([1.0, 1.0], 0), [1.0, 1.0])


def test_combinators_leave_their_input_alone():
    steps = np.ones(5)
    schedules.warmup(steps, 3)
    schedules.cooldown(steps, 3)
    np.testing.assert_array_equal(steps, 1.0)


def test_parse_understands_warmup_for_every_family():
    for name, family in FAMILIES.items():
        if "warmup" not in inspect.signature(family).parameters:
            steps = schedules.parse(f"{name}:warmup=0.1", 50)
            np.testing.assert_allclose(steps[:5], [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-15)
            np.testing.assert_array_equal(steps[5:], family(45))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "specification"),
        ("cosin", "generalised_cosine"),
        ("wsd:cooldwon=0.2", "cooldown"),
        ("wsd:cooldown", "key=value"),
        ("wsd:cooldown=a", "one number"),
        ("wsd:cooldown=2.5", "between 0 and 1"),
        ("wsd:cooldown=12", "at most the 10 steps"),
        ("wsd:kind=cubic", "linear, sqrt, cosine"),
        ("wsd:cooldown=0.1,cooldown=0.2", "once"),
        ("stepwise:milestones=1.5", "fractions"),
        ("polynomial:power=1/2", "one number"),
        ("polynomial:power=-1", "nonnegative"),
        ("linear:warmup=1.5", "between 0 and 1"),
        ("cosine:minimum=nan", "between 0 and 1"),
    ],
)
def test_parse_names_what_is_wrong(text, said):
    with pytest.raises(InputError, match=said):
        schedules.parse(text, 10)


@pytest.mark.parametrize("n", [0, -1, 2.5, "10", None, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_horizon_must_be_a_positive_integer(name, n):
    with pytest.raises(InputError, match="n_steps"):
        FAMILIES[name](n)


@pytest.mark.parametrize("steps", [[], [-1.0], [np.nan], [np.inf], [[1.0]], [1j], "abc", ["a"], None, [[1], [1, 2]]])
def test_combinators_refuse_bad_steps(steps):
    for combine in (lambda h: schedules.warmup(h, 1), lambda h: schedules.cooldown(h, 1), schedules.join):
        with pytest.raises(InputError):
            combine(steps)
    with pytest.raises(InputError, match="at most the 1 steps"):
        schedules.warmup([1.0], 2)


@pytest.mark.parametrize("sampling", ["(k+1)/(N+1)", "k/N"])
@pytest.mark.parametrize("minimum", [0.0, 0.2])
def test_infinite_beta_is_the_limit_of_rex(sampling, minimum):
    """At b = 1e12 the schedule is its limit up to 1e-10, whether or not the first step is at s = 0."""
    near = schedules.generalised_rex(40, 1e12, minimum, sampling)
    np.testing.assert_allclose(schedules.generalised_rex(40, np.inf, minimum, sampling), near, atol=1e-9)
    text = f"generalised_rex:b=inf,minimum={minimum},sampling={sampling}"
    np.testing.assert_allclose(schedules.parse(text, 40), near, atol=1e-9)
