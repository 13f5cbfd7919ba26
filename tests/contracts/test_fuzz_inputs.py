"""Every public function on every kind of argument: right numbers or the package's own errors, quickly, nothing else."""

import contextlib
import inspect
import signal
import types
from collections import Counter
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest
from helpers import public_names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.errors import LastIterateError

pytestmark = pytest.mark.filterwarnings("ignore:refine.norms. without rule:FutureWarning")  # None is its default
SECONDS = 5
POINTS = [[0.0, 1.0], [0.5, 0.5], [0.25, 0.5], [0.25, 0.25]]
SLOPES = [[-1.0, 0.5], [0.5, 0.5], [0.5, 0.25], [0.25, 0.25]]
SKIPPED = {
    "search",  # takes an objective, which has its own checks
    "problems.dataset",  # looks for files
    "average_iterate_rate",  # an old name, which warns
    "schedules.from_torch",  # takes a scheduler of torch, which theory does without
}

VALID = {
    "n_steps": 3, "steps": [0.5, 0.25, 0.1], "D": 2.0, "G": [1.5, 1.0, 1.0, 0.5], "averaging": [0.5, 0.75, 1.0],
    "scalings": [1.0, 2.0, 3.0], "weights": [1.0, 2.0, 1.0, 1.0], "norms": [2.0, 1.0, 0.5, 1.0], "prefix": [0.5, 0.25],
    "points": POINTS, "gradients": SLOPES, "values": [1.0, 0.75, 0.5, 0.5], "x_star": [0.0, 0.0], "f_star": 0.0,
    "H": [[0, 0, 0], [0.5, 0, 0], [0.5, 0.25, 0]], "at": "last", "matrix": SLOPES, "labels": [1.0, -1.0, 1.0, -1.0],
    "targets": [0.0, 1.0, 0.5, 0.25], "offsets": [0.0, 0.5, 1.0, 0.0], "spectrum": [1.0, 0.5],
    "x0": None, "text": "wsd:cooldown=0.5", "parts": [1.0, 0.5], "kind": "linear", "n_cooldown": 1, "n_warmup": 1,
    "path": "no such file.json", "base_lr": 0.5, "search_limit": 4, "horizons": [1, 3], "max_step": 0.5,
    "noise": [1.0, 1.0, 1.0], "n0": 2, "n1": 4,
    "checkpoints": [1, 3], "lr": [0.1, 0.1], "effective": [0.1, 0.1], "weight_decay": 0.1, "init_std": 0.5,
    "decay": 0.5, "mu_x": 0.5, "mu_y": 0.5,
    "batch": 2.0, "factor": 2.0, "tokens": 30.0, "schedules": ["linear", "cosine"], "batches": [1.0, 1.0],
    "inner_products": None, "start": 1, "loss": "squared",  "problem": li.problems.absolute_value(1.0),
}  # fmt: skip
OVERRIDES = {
    "step_matrix.last_iterate_conversion": {"weights": [1.0, 2.0, 1.0]},
    "step_matrix.dual_averaging": {"weights": [1.0, 1.0, 2.0], "averaging": 1.0},
    "step_matrix.primal_averaging": {"weights": None},
    "dual_averaging.dual_averaging_rate": {"weights": [1.0, 1.0, 2.0]},
    "average_rate": {"weights": [0.25, 0.25, 0.25, 0.25]},
    "problems.worst_case_function": {
        "points": [[1.0], [0.0]],
        "gradients": [[1.0], [-1.0]],
        "values": [1.0, 0.5],
        "x_star": [0.5],
        "f_star": 0.5,
    },
    "problems.write_function": {
        "problem": li.problems.max_affine([[1.0], [-1.0]], [0.0, 0.0], x0=[2.0]),
        "path": "f.npz",
    },
    "simulate": {"steps": [0.5, 0.25]},
    "problems.read_function": {"path": "absent.npz"},
    "problems.load_libsvm": {"path": "absent.txt"},
    "schedules.from_callable": {"schedule": lambda k: 1.0 / (k + 1)},
    "schedules.read_schedule": {"path": "absent.json"},
    "schedules.read_schedule_file": {"path": "absent.json"},
    "dual_averaging.dual_averaging_average_rate": {"weights": [1.0, 1.0, 2.0]},
    "optimal_continuation": {"G": 1.0},
    "worst_case": {"G": [1.0, 1.0, 0.5]},
    "problems.weighted_absolute": {"weights": [1.0, 2.0], "x0": [1.0, 1.0]},
    "problems.softmax": {"labels": [0, 1, 2, 0]},
    "problems.absolute_value": {"x0": 1.0},
    "problems.quadratic": {"x0": [1.0, 1.0]},
    "design_momentum": {"n_steps": 1, "G": 1.0, "starts": 1},
    "refine": {"n_steps": 3, "rule": "sgd"},
}


class Hostile:
    """An object that fails wherever it is looked at."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")

    def __float__(self):
        raise RuntimeError("no float")

    def __repr__(self):
        raise RuntimeError("no repr")


def wild():
    """Values that no argument expects, made anew each time, because a call may change them."""
    tensor = _tensor()
    return [
        None, True, False, "", "linear", "no such name", b"bytes", 0, -1, 3, 10**9 + 1, 2**63, 10**30, -(10**400),
        10**400,
        0.0, -0.0, -1.0, 0.5, 5e-324, 1e-310, 1e-300, 1e300, 1.7e308, float("nan"), float("inf"), -float("inf"),
        1j, Fraction(1, 3), Fraction(10**400), np.float32(0.5), np.float16(0.5), np.longdouble("1e4000"),
        np.int8(3),
        np.uint64(2**63), np.bool_(True), np.timedelta64(3, "s"), np.datetime64("2020-01-01"), timedelta(seconds=1),
        np.array(0.5), np.array(3), [], (), {}, set(), [[]], [0.0], [0.5], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0],
        [1, 2, 3],
        [-1.0, 1.0, 1.0], [5e-324, 1e300, 1.0], [1e300, 1e300, 1e300], [1e-300] * 3, [1e308] * 4,
        [float("nan")] * 3,
        [1.0, float("inf"), 1.0], [1.0, None, 1.0], [True, False, True], ["a", "b", "c"], [10**400, 1, 1],
        [1j, 1j, 1j],
        [[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, 4.0]], np.ma.array([1.0, 999.0, 1.0], mask=[0, 1, 0]),
        [np.ma.masked] * 3,
        np.zeros((0,)), np.zeros((3, 0)), np.zeros((3, 3, 3)), np.eye(3), np.ones(3, dtype="M8[s]"),
        np.ones(3, dtype="m8[s]"), np.ones(3, dtype=bool), np.array([None] * 3), np.ones(3, dtype=[("a", float)]),
        np.ones(3, dtype=">f8"), np.ones(6)[::2], np.ones(3, dtype=np.float16), np.ones(3, dtype=np.longdouble) * 2,
        np.full(3, np.longdouble("1e4000")), np.ones(4).tolist, object(), Hostile(), [Hostile()] * 3, iter([1.0]),
        range(3),
        *([tensor] if tensor is not None else []), np.tril(np.full((3, 3), 1e300), -1),
        np.tril(np.full((4, 4), -1.0), -1),
    ]  # fmt: skip


def _tensor():
    try:
        import torch
    except ImportError:
        return None
    return torch.ones(3, requires_grad=True)


N_WILD = len(wild())


def public_functions():
    """The functions of theory and solvers that the facade leads to, by their public names."""
    found = {}
    for name, item in public_names():
        members = vars(item).items() if isinstance(item, types.ModuleType) else ((None, item),)
        for member, value in members:
            public = not isinstance(item, types.ModuleType) or member in getattr(item, "__all__", ())
            home = getattr(value, "__module__", "")
            if public and inspect.isfunction(value) and home.startswith(("lastiterate.theory", "lastiterate.solvers")):
                path = name if member is None else f"{name}.{member}"
                found.setdefault(value, path)
    return {path: value for value, path in found.items() if path not in SKIPPED}


FUNCTIONS = public_functions()


def arguments(path, choices):
    """Return positional and keyword arguments: ``choices`` gives the number of a wild value, or None for a good one."""
    pool, positional, keywords = wild(), [], {}
    good = {**VALID, **OVERRIDES.get(path, {})}
    for parameter in inspect.signature(FUNCTIONS[path]).parameters.values():
        choice = choices.get(parameter.name)
        required = parameter.default is inspect.Parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if choice is None and not required and parameter.name not in OVERRIDES.get(path, {}):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        value = pool[choice] if choice is not None else good[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.append(value)
        else:
            keywords[parameter.name] = value
    return positional, keywords


def parameters(path):
    """The names of the parameters that a call may give; those that are on their way out warn."""
    found = inspect.signature(FUNCTIONS[path]).parameters.values()
    return [p.name for p in found if p.kind is not p.VAR_KEYWORD and (path, p.name) != ("exact_rate", "momentum")]


@st.composite
def calls(draw):
    path = draw(st.sampled_from(sorted(FUNCTIONS)))
    names = parameters(path)
    spoiled = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return path, {name: draw(st.integers(0, N_WILD - 1)) for name in spoiled}


def numbers(result, depth=0):
    """All floating-point numbers that a result shows."""
    if isinstance(result, (float, np.floating)):
        yield float(result)
    elif isinstance(result, np.ndarray) and result.dtype.kind == "f":
        yield from result.ravel().tolist()
    elif isinstance(result, (list, tuple)) and depth < 3:
        for item in result:
            yield from numbers(item, depth + 1)
    elif type(result).__module__.startswith("lastiterate") and depth < 1:
        for name in ("value", "lower", "steps", "base_lr", "values"):
            part = getattr(result, name, None)
            yield from numbers(part, depth + 1) if not callable(part) else ()


class Slow(Exception):
    """A call did not come back in time."""


def attempt(path, choices):
    """Return "right" or "refused" for one call; anything else raises."""

    def late(*_):
        raise Slow(f"{path} took more than {SECONDS} s")

    positional, keywords = arguments(path, choices)
    result, shown, found, refusal = None, "", [], ""
    previous = [(name, signal.signal(name, late)) for name in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of work, however busy the machine is
    signal.alarm(12 * SECONDS)  # or of waiting for nothing
    try:
        result = FUNCTIONS[path](*positional, **keywords)
        shown = repr(result)
        found = list(numbers(result))
    except LastIterateError as error:
        refusal = str(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.alarm(0)
        for name, handler in previous:
            signal.signal(name, handler)
    if result is None:
        assert len(refusal.splitlines()) == 1
        return "refused"
    assert len(shown) < 200 or not hasattr(result, "value")
    assert not np.isnan(found).any()
    assert np.isfinite([x for x in found if x > 0.0]).all() or path in MAY_BE_INFINITE
    return "right"


MAY_BE_INFINITE = {"theorem10_rate", "rate_curve", "dual_averaging.dual_averaging_rate", "worst_case"}


@pytest.fixture(autouse=True, scope="module")
def compiled(tmp_path_factory):
    """Call every function once, in a folder of its own: the first call may compile for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzz"))
        for path in FUNCTIONS:
            positional, keywords = arguments(path, {})
            with contextlib.suppress(LastIterateError):
                list(numbers(FUNCTIONS[path](*positional, **keywords)))
        yield


@pytest.mark.parametrize("path", sorted(FUNCTIONS))
def test_the_good_arguments_are_good(path):
    reads = path.rpartition(".")[2].startswith(("read", "load"))
    assert attempt(path, {}) == ("refused" if reads else "right")


@given(calls())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_right_numbers_or_the_packages_own_errors(call):
    attempt(*call)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FUNCTIONS))
def test_every_argument_with_every_value(path, record_property):
    tally = Counter()
    for name in parameters(path):
        for number in range(N_WILD):
            tally[attempt(path, {name: number})] += 1
    record_property("tally", dict(tally))


@pytest.mark.slow
@given(calls())
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_pairs_of_bad_arguments(call):
    attempt(*call)
