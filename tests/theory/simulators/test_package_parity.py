"""Methods and options against the packages that people use, 300 steps on settings that are nobody's defaults."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from helpers import recent_optax
from package_references import RATES, in_optax, in_torch, largest_difference, matrix_problem

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parametrize("rates", [pytest.param("cooled", marks=pytest.mark.slow), "warmed"])


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(torch.float32)


def named(module: str, name: str, **options) -> Callable:
    """Make an optimizer of a package from its parameters."""
    return lambda parameters: getattr(pytest.importorskip(module), name)(parameters, lr=1.0, **options)


BETAS = {"beta1": 0.7, "beta2": 0.93}
IN_TORCH = [
    ("sgd", 0.05, {"weight_decay": 0.3}, "SGD", {"weight_decay": 0.3}),
    ("momentum", 0.05, {"beta": 0.6, "dampening": 0.3, "weight_decay": 0.2}, "SGD",
     {"momentum": 0.6, "dampening": 0.3, "weight_decay": 0.2}),
    ("nesterov", 0.05, {"beta": 0.7, "weight_decay": 0.2}, "SGD",
     {"momentum": 0.7, "nesterov": True, "weight_decay": 0.2}),
    ("adam", 0.02, {**BETAS, "eps": 1e-3, "weight_decay": 0.2}, "Adam",
     {"betas": (0.7, 0.93), "eps": 1e-3, "weight_decay": 0.2}),
    ("adam", 0.02, {"weight_decay": 0.2, "decouple": True}, "Adam",
     {"weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("adamw", 0.02, {**BETAS, "weight_decay": 0.7}, "AdamW", {"betas": (0.7, 0.93), "weight_decay": 0.7}),
    ("amsgrad", 0.02, {**BETAS, "eps": 1e-5, "weight_decay": 0.1}, "Adam",
     {"betas": (0.7, 0.93), "eps": 1e-5, "weight_decay": 0.1, "amsgrad": True}),
    ("amsgrad", 0.02, {"weight_decay": 0.4, "decouple": True}, "AdamW", {"weight_decay": 0.4, "amsgrad": True}),
    ("nadam", 0.02, {**BETAS, "momentum_decay": 0.02, "weight_decay": 0.1}, "NAdam",
     {"betas": (0.7, 0.93), "momentum_decay": 0.02, "weight_decay": 0.1}),
    ("nadam", 0.02, {"weight_decay": 0.4, "decouple": True, "eps": 1e-4}, "NAdam",
     {"weight_decay": 0.4, "decoupled_weight_decay": True, "eps": 1e-4}),
    ("adagrad", 0.1, {"weight_decay": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.3, "eps": 1e-4}, "Adagrad",
     {"weight_decay": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.3, "eps": 1e-4}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "lr", "options", "name", "theirs"), IN_TORCH)
def test_torch(method, lr, options, name, theirs, rates):
    start = in_torch(named("torch.optim", name, **theirs))
    assert largest_difference(method, start, lr * RATES[rates], **options) < 1e-13


@pytest.mark.parametrize(
    ("method", "name", "momentum", "decouple"),
    [  # not MADGRAD with decoupled decay and no momentum: the package then takes x_0 from a point that has decayed
        ("madgrad", "MADGRAD", 0.8, False),
        ("madgrad", "MADGRAD", 0.8, True),
        ("madgrad", "MADGRAD", 0.0, False),
        ("mirror_madgrad", "MirrorMADGRAD", 0.8, False),
        ("mirror_madgrad", "MirrorMADGRAD", 0.8, True),
        ("mirror_madgrad", "MirrorMADGRAD", 0.0, True),
    ],
)
def test_madgrad(method, name, momentum, decouple, rates):
    options = {"momentum": momentum, "eps": 1e-4, "weight_decay": 0.2}
    start = in_torch(named("madgrad", name, decouple_decay=decouple, **options))
    worst = largest_difference(method, start, 0.01 * RATES[rates], decouple=decouple, **options)
    assert worst < (1e-9 if momentum == 0.0 else 1e-12)  # without momentum the package computes x_0 back at every step


@pytest.mark.parametrize(
    ("method", "name", "ours", "theirs"),
    [
        ("schedule_free", "SGDScheduleFree", {"beta": 0.8}, {"momentum": 0.8}),
        ("schedule_free_adamw", "AdamWScheduleFree", {**BETAS, "eps": 1e-4}, {"betas": (0.7, 0.93), "eps": 1e-4}),
    ],
)
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_schedule_free(method, name, ours, theirs, decay, rates):
    options = {"weight_decay": decay, "warmup_steps": 30, "r": 0.5, "weight_lr_power": 1.0}
    start = in_torch(named("schedulefree", name, foreach=False, **theirs, **options), averages=True)
    assert largest_difference(method, start, 0.05 * RATES[rates], **ours, **options) < 1e-12


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"beta1": 0.6, "beta2": 0.9, "weight_decay": 0.01}, {"betas": (0.6, 0.9), "weight_decay": 0.01}),
        ({"d0": 1e-3}, {"d0": 1e-3}),
    ],
)
@pytest.mark.parametrize("silent", [0, 3])
def test_dadapt_lion(ours, theirs, silent, rates):
    start = in_torch(named("dadaptation", "DAdaptLion", **theirs))
    assert largest_difference("dadapt_lion", start, RATES[rates], silent=silent, **ours) < 1e-12


@pytest.mark.parametrize("slice_p", [2, 7])
def test_prodigy_on_a_part_of_the_entries(slice_p, rates):
    start = in_torch(named("prodigyopt", "Prodigy", slice_p=slice_p, weight_decay=0.1))
    assert largest_difference("prodigy", start, RATES[rates], slice_p=slice_p, weight_decay=0.1) < 1e-12


@pytest.mark.parametrize("store_delta", [False, True])
@pytest.mark.parametrize(
    ("method", "base", "ours", "theirs"),
    [
        ("mechanic_sgd", "SGD", {"momentum": 0.7, "weight_decay": 0.1}, {"momentum": 0.7, "weight_decay": 0.1}),
        ("mechanic_adam", "Adam", {**BETAS, "weight_decay": 0.1}, {"betas": (0.7, 0.93), "weight_decay": 0.1}),
        ("mechanic_adamw", "AdamW", {**BETAS, "weight_decay": 0.3}, {"betas": (0.7, 0.93), "weight_decay": 0.3}),
    ],
)
def test_mechanic(method, base, ours, theirs, store_delta, rates):
    package = pytest.importorskip("mechanic_pytorch")
    chosen = {"s_init": 1e-5, "s_decay": 0.03, "store_delta": store_delta}
    kind = package.mechanize(getattr(torch.optim, base), **chosen)
    start = in_torch(lambda parameters: kind(parameters, lr=1.0, **theirs))
    assert largest_difference(method, start, RATES[rates], package=True, **chosen, **ours) < 1e-11


@pytest.mark.parametrize("betas", [(0.5,), (0.99, 0.7, 0.999), (0.1, 0.2, 0.4, 0.8, 0.9, 0.95, 0.99, 0.995)])
@pytest.mark.parametrize(("method", "base"), [("mechanic_sgd", "SGD"), ("mechanic_adam", "Adam")])
def test_mechanic_with_discounts_of_its_own(method, base, betas, rates):
    package = pytest.importorskip("mechanic_pytorch")
    kind = package.mechanize(getattr(torch.optim, base), betas=betas, s_init=1e-4, store_delta=True)
    start = in_torch(lambda parameters: kind(parameters, lr=1.0))
    options = {"mechanic_betas": betas, "s_init": 1e-4, "package": True}
    assert largest_difference(method, start, RATES[rates], **options) < 1e-11


@pytest.mark.parametrize(("method", "name"), [("dog", "DoG"), ("dog_layerwise", "LDoG")])
@pytest.mark.parametrize(("decay", "first"), [(0.0, None), (0.2, None), (0.2, 1e-3)])
def test_dog(method, name, decay, first, rates):
    options = {"reps_rel": 1e-4, "eps": 1e-3, "weight_decay": decay, "init_eta": first}
    start = in_torch(named("dog", name, **options), blocks=-3)
    ours = {**options, "init_eta": first or 0.0}
    assert largest_difference(method, start, RATES[rates], matrix_problem(), **ours) < 1e-12


OPTAX = [
    ("lion", 0.01, {"beta1": 0.6, "beta2": 0.9, "weight_decay": 0.3},
     lambda o, lr: o.lion(lr, b1=0.6, b2=0.9, weight_decay=0.3)),
    ("lion", 0.01, {"weight_decay": 0.0}, lambda o, lr: o.lion(lr, weight_decay=0.3, mask=False)),
    ("sign_sgd", 0.01, {}, lambda o, lr: o.sign_sgd(lr)),
    ("sign_sgd", 0.01, {"beta": 0.7},
     lambda o, lr: o.chain(o.ema(0.7, debias=False), o.scale_by_sign(), o.scale_by_learning_rate(lr))),
    ("normalized_sgd", 0.1, {"beta": 0.7, "eps": 1e-2},
     lambda o, lr: o.chain(o.ema(0.7, debias=False), o.normalize_by_update_norm(eps=1e-2),
                           o.scale_by_learning_rate(lr))),
    ("dog", 1.0, {"reps_rel": 1e-3, "eps": 1e-2, "weight_decay": 0.1},
     lambda o, lr: o.contrib.dog(lr, ("heuristic", 1e-3), eps=1e-2, weight_decay=0.1)),
    ("dowg", 1.0, {"init_estim_sq_dist": 1e-6, "eps": 1e-3, "weight_decay": 0.1},
     lambda o, lr: o.contrib.dowg(lr, 1e-6, eps=1e-3, weight_decay=0.1)),
    ("dowg", 1.0, {}, lambda o, lr: o.contrib.dowg(lr)),
]  # fmt: skip


@pytest.mark.parametrize(("method", "lr", "options", "make"), OPTAX)
def test_optax(method, lr, options, make, rates):
    optax = recent_optax()
    start = in_optax(lambda rate: make(optax, rate))
    assert largest_difference(method, start, lr * RATES[rates], **options) < 1e-12


@pytest.mark.parametrize("n_rows", [3, 5])  # wider than tall, and taller than wide
@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_vs_torch_in_double_precision(monkeypatch, n_rows, nesterov, rates):
    """torch rounds to bfloat16 inside; without that both are the same."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    chosen = {"momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.2, "ns_steps": 4, "eps": 1e-5}
    theirs = {**chosen, "ns_coefficients": (3.4, -4.7, 2.0), "adjust_lr_fn": "match_rms_adamw" if nesterov else None}
    start = in_torch(named("torch.optim", "Muon", **theirs), blocks=n_rows)
    ours = {**chosen, "ns_a": 3.4, "ns_b": -4.7, "ns_c": 2.0, "match_rms": nesterov}
    assert largest_difference("muon", start, 0.05 * RATES[rates], matrix_problem(n_rows), **ours) < 1e-12


def test_muon_vs_optax(rates):
    """Without its bias correction of Nesterov's form, which torch has not; optax multiplies from the other side."""
    contrib = recent_optax().contrib
    theirs = {"beta": 0.8, "nesterov": False, "eps": 0.0, "weight_decay": 0.2}
    sides = contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
    start = in_optax(lambda lr: contrib.muon(lr, muon_weight_dimension_numbers=sides, **theirs), blocks=3)
    ours = {"momentum": 0.8, "nesterov": False, "weight_decay": 0.2, "eps": 0.0}
    assert largest_difference("muon", start, 0.05 * RATES[rates], matrix_problem(), **ours) < 1e-11


def exact_muon(momentum: float, nesterov: bool, decay: float, n_rows: int) -> Callable:
    """Muon in NumPy, orthogonalised through the singular values above rounding."""

    def start(x0, rates):
        x, buffer = x0.reshape(n_rows, -1), np.zeros((n_rows, x0.size // n_rows))
        state = [x, buffer]

        def advance(g, lr, loss):
            x, buffer = state
            g = g.reshape(x.shape)
            buffer = momentum * buffer + (1 - momentum) * g
            update = momentum * buffer + (1 - momentum) * g if nesterov else buffer
            u, s, v = np.linalg.svd(update, full_matrices=False)
            kept = s > s[0] * max(x.shape) * np.finfo(float).eps
            update = u[:, kept] @ v[kept] * np.sqrt(max(1.0, x.shape[0] / x.shape[1]))
            state[:] = x * (1 - lr * decay) - lr * update, buffer
            return state[0].ravel()

        return advance

    return start


@pytest.mark.parametrize("n_rows", [3, 5])
@pytest.mark.parametrize("nesterov", [False, True])
def test_exact_muon_vs_numpy(n_rows, nesterov, rates):
    """The classes' gradients add up to zero, so one singular value is rounding and must not become one."""
    options = {"momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.2}
    start = exact_muon(0.8, nesterov, 0.2, n_rows)
    assert largest_difference("muon_exact", start, 0.05 * RATES[rates], matrix_problem(n_rows), **options) < 1e-11


def adasps(c: float, lower: float, scaled: bool) -> Callable:
    """Algorithm 1 of arXiv 2308.06058 in NumPy, the step times lr."""

    def start(x0, rates):
        state = {"x": x0, "eta": np.inf, "losses": [], "c": c}

        def advance(g, lr, loss):
            state["losses"].append(loss - lower)
            if scaled and len(state["losses"]) == 1:
                state["c"] = c / np.sqrt(loss - lower)
            polyak = (loss - lower) / (state["c"] * (g @ g)) / np.sqrt(np.sum(state["losses"]))
            state["eta"] = min(polyak, state["eta"])
            state["x"] = state["x"] - lr * state["eta"] * g
            return state["x"]

        return advance

    return start


def decsps(c0: float, lower: float, gamma_b: float) -> Callable:
    """DecSPS of arXiv 2205.04583 in NumPy, the step times lr."""

    def start(x0, rates):
        state = {"x": x0, "gamma": gamma_b, "c": c0, "k": 0}

        def advance(g, lr, loss):
            c = c0 * np.sqrt(state["k"] + 1)
            gamma = min((loss - lower) / (g @ g), state["c"] * state["gamma"]) / c
            state.update(x=state["x"] - lr * gamma * g, gamma=gamma, c=c, k=state["k"] + 1)
            return state["x"]

        return advance

    return start


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("c", "lower"), [(0.4, 0.0), (1.3, -0.2)])
def test_adasps_vs_the_paper(c, lower, scaled, rates):
    options = {"c": c, "f_star": lower, "scaled": scaled}
    assert largest_difference("adasps", adasps(c, lower, scaled), RATES[rates], **options) < 1e-12


@pytest.mark.parametrize(("c", "lower", "gamma_b"), [(1.0, 0.0, 10.0), (0.6, -0.2, 0.5)])
def test_decsps_vs_the_paper(c, lower, gamma_b, rates):
    options = {"c": c, "f_star": lower, "gamma_b": gamma_b}
    assert largest_difference("decsps", decsps(c, lower, gamma_b), RATES[rates], **options) < 1e-12
