"""Every optimizer of torch and of the packages, crossed with every option of its class; the page prints the table."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import double_precision, recent_optax

from lastiterate.experiments.training.extras import MissingExtraError
from lastiterate.experiments.training.optimizer_table import NOT_HERE, OPTIMIZERS, REFUSED_OPTIONS
from lastiterate.experiments.training.optimizers import make_optimizer, optimizer_info
from lastiterate.theory.base.validation import InputError

PAGE = Path(__file__).parents[3] / "docs" / "optimizers.md"
MODULES = ("torch.optim", "dadaptation", "prodigyopt", "momo", "madgrad", "schedulefree")
GIVEN_OTHERWISE = {"self", "params", "lr", "defaults"}
VALUES = {
    "betas": "0.8/0.9", "beta": "0.8", "beta3": "0.9", "eps": "1e-6", "weight_decay": "0.01", "momentum": "0.5",
    "dampening": "0.1", "nesterov": "true", "maximize": "true", "foreach": "false", "amsgrad": "true",
    "decoupled_weight_decay": "true", "lr_decay": "0.1", "initial_accumulator_value": "0.1", "rho": "0.8",
    "beta2_decay": "-0.7", "d": "2.0", "lambd": "1e-3", "alpha": "0.9", "t0": "10", "momentum_decay": "0.01",
    "centered": "true", "ns_coefficients": "3.0/-4.0/2.0", "ns_steps": "3", "adjust_lr_fn": "match_rms_adamw",
    "log_every": "0", "d0": "1e-5", "growth_rate": "1.5", "fsdp_in_use": "false", "decouple": "true",
    "use_bias_correction": "true", "no_prox": "true", "safeguard_warmup": "true", "d_coef": "0.5", "slice_p": "2",
    "lb": "0.0", "bias_correction": "true", "use_fstar": "true", "divide": "false", "decouple_decay": "true",
    "warmup_steps": "3", "r": "0.5", "weight_lr_power": "1.0", "silent_sgd_phase": "false", "growth_limit": "0.5",
    "coordinatewise": "true", "reps_rel": "1e-4", "fused": "true", "capturable": "true", "differentiable": "true",
    "s_decay": "0.1", "s_init": "1e-6", "store_delta": "true", "log_func": "print", "mechanic_betas": "0.9/0.99",
    "mechanic_eps": "1e-7",
}  # fmt: skip
"""A value of every option, in a text."""
SPECIAL = {("adafactor", "eps"): "none/0.001", ("dadapt_adan", "betas"): "0.9/0.9/0.99"}
BESIDE = {"nesterov": ",momentum=0.9"}
MECHANIC = ("s_decay", "s_init", "store_delta", "log_every", "log_func", "mechanic_betas", "mechanic_eps")


def class_of(name):
    module, _, attribute = OPTIMIZERS[name].reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def options_of(name):
    """Options of the class that a name stands for, and of what wraps it."""
    found = [p.name for p in inspect.signature(class_of(name)).parameters.values() if p.kind is not p.VAR_KEYWORD]
    found += list(REFUSED_OPTIONS)[:3] if "lastiterate" in OPTIMIZERS[name].reference else []
    found += MECHANIC if name.startswith("mechanic") else ()
    return [option for option in found if option not in GIVEN_OTHERWISE]


def outcome(name, option):
    """What a text with the option does: "taken" if the optimizer has the value, or "refused"."""
    value = SPECIAL.get((name, option), VALUES[option])
    weight = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    try:
        optimizer = make_optimizer(f"{name}:{option}={value}{BESIDE.get(option, '')}", [weight])
    except InputError as error:
        return "refused" if option in str(error) else f"refused without its name: {error}"
    weight.grad = torch.ones_like(weight)
    optimizer.step(**({"loss": torch.tensor(1.0)} if OPTIMIZERS[name].needs_loss else {}))
    return "taken"


def table():
    """One row an optimizer: options that are taken, and options that are refused by name."""
    for name in OPTIMIZERS:
        outcomes = {option: outcome(name, option) for option in options_of(name)}
        yield name, *([o for o, found in outcomes.items() if found == kind] for kind in ("taken", "refused")), outcomes


def rows_of_the_page():
    yield "| name | is | options | refused by name | complete |"
    yield "|---|---|---|---|---|"
    for name, taken, refused, _ in table():
        listed = [", ".join(f"`{o}`" for o in kind) or "-" for kind in (taken, refused)]
        module, _, attribute = OPTIMIZERS[name].reference.partition(":")
        there = "ours" if module.startswith("lastiterate") else module
        gap = "complete" if not refused else f"but for {', '.join(refused)}"
        yield f"| `{name}` | `{attribute}` ({there}) | {listed[0]} | {listed[1]} | {gap} |"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_option_is_taken_or_refused_by_name(name):
    try:
        outcomes = {option: outcome(name, option) for option in options_of(name)}
    except MissingExtraError as error:
        pytest.skip(str(error))
    refused = {option for option, found in outcomes.items() if found == "refused"}
    assert set(outcomes.values()) <= {"taken", "refused"}, outcomes
    assert refused == set(outcomes) & set(REFUSED_OPTIONS)


@pytest.mark.parametrize("name", ["adamw", "dadapt_adan", "rmsprop", "muon", "mechanic_adam", "lion"])
def test_a_value_arrives(name):
    weight = torch.nn.Parameter(torch.ones(2, 2))
    beta = {"muon": "momentum", "rmsprop": "alpha"}.get(name)
    text = f"{name}:{beta}=0.5" if beta else f"{name}:beta1=0.5"
    group = make_optimizer(text, [weight]).param_groups[0]
    assert (group[beta] if beta else group["betas"][0]) == 0.5
    assert not beta or name in ("muon", "rmsprop")


LEFT_OUT = {
    "torch.optim:LBFGS": "lbfgs",
    "torch.optim:SparseAdam": "sparse_adam",
    "torch.optim:Rprop": "rprop",
    "schedulefree:SGDScheduleFreeClosure": "schedule_free_sgd_closure",
    "schedulefree:AdamWScheduleFreeClosure": "schedule_free_adamw_closure",
    "schedulefree:RAdamScheduleFreeClosure": "schedule_free_radam_closure",
    "schedulefree:SGDScheduleFreeReference": "schedule_free_sgd_reference",
    "schedulefree:AdamWScheduleFreeReference": "schedule_free_adamw_reference",
    "schedulefree:AdamWScheduleFreePaper": "schedule_free_adamw_paper",
}


def test_every_class_is_a_name_or_left_out_by_name():
    assert set(LEFT_OUT.values()) == set(NOT_HERE)
    known = {info.reference for info in OPTIMIZERS.values()} | set(LEFT_OUT)
    for module in MODULES:
        for attribute, thing in vars(pytest.importorskip(module)).items():
            if inspect.isclass(thing) and issubclass(thing, torch.optim.Optimizer):
                assert thing is torch.optim.Optimizer or f"{module}:{attribute}" in known


@pytest.mark.parametrize("name", NOT_HERE)
def test_what_is_not_here_says_why(name):
    with pytest.raises(InputError, match="expected another one: "):
        make_optimizer(name, [torch.nn.Parameter(torch.ones(2))])


def test_the_page_prints_this_table():
    for module in MODULES:
        pytest.importorskip(module)
    text = PAGE.read_text()
    assert "\n".join(rows_of_the_page()) in text
    for name, why in NOT_HERE.items():
        assert f"| `{name}` | {why} |" in text
    for option, why in REFUSED_OPTIONS.items():
        assert f"| `{option}` | {why} |" in text


def test_the_door_for_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_optimizers.py").write_text(
        "import torch\nclass Slow(torch.optim.SGD):\n    def __init__(self, params, lr=0.25, **more):\n"
        "        super().__init__(params, lr=lr / 10, **more)\n"
    )
    (tmp_path / "not_named.py").write_text("raise RuntimeError('nobody named this file')")
    monkeypatch.syspath_prepend(tmp_path)
    name, info, options = optimizer_info("my_optimizers:Slow:momentum=0.5")
    assert (name, info.base_lr, options) == ("my_optimizers:Slow", 0.25, {"momentum": 0.5})
    group = make_optimizer("my_optimizers:Slow:momentum=0.5", [torch.nn.Parameter(torch.ones(1))], 1.0).param_groups[0]
    assert (group["lr"], group["momentum"]) == (0.1, 0.5)
    with pytest.raises(InputError, match=r"derived from torch\.optim\.Optimizer"):
        make_optimizer("my_optimizers:torch", [torch.nn.Parameter(torch.ones(1))])
    with pytest.raises(InputError, match="my_optimizers:Slow knows"):
        make_optimizer("my_optimizers:Slow:speed=3", [torch.nn.Parameter(torch.ones(1))])


def quadratic_gradients(n_steps, dim=6):
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(12, dim))
    noise = rng.normal(size=(n_steps, dim))
    return lambda x, k: matrix.T @ np.sign(matrix @ x - 1.0) / 12 + 0.3 * noise[k]


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("lion:betas=0.7/0.95,weight_decay=0.2", lambda o, lr: o.lion(lr, b1=0.7, b2=0.95, weight_decay=0.2)),
        ("lion", lambda o, lr: o.lion(lr, b1=0.9, b2=0.99, weight_decay=0.0)),
        ("dog:reps_rel=1e-3,eps=1e-7", lambda o, lr: o.contrib.dog(lr, ("heuristic", 1e-3), eps=1e-7)),
        ("dog:weight_decay=0.1", lambda o, lr: o.contrib.dog(lr, ("heuristic", 1e-6), weight_decay=0.1)),
    ],
)
def test_ours_are_those_of_optax(text, build):
    optax = recent_optax()
    jax = pytest.importorskip("jax")
    n = 300
    rates = 0.05 * np.linspace(1.0, 0.0, n, endpoint=False)
    gradient, start = quadratic_gradients(n), np.linspace(-1.0, 2.0, 6)
    halves = [torch.nn.Parameter(torch.tensor(start[:2])), torch.nn.Parameter(torch.tensor(start[2:]))]
    optimizer = make_optimizer(text, halves)
    with double_precision():
        x = jax.numpy.asarray(start)
        transform = build(optax, lambda k: jax.numpy.asarray(rates)[k])
        state = transform.init(x)
        for k in range(n):
            here = torch.cat([p.detach() for p in halves]).numpy()
            np.testing.assert_allclose(here, np.asarray(x), rtol=1e-9, atol=1e-12)
            g = gradient(here, k)
            halves[0].grad, halves[1].grad = torch.tensor(g[:2]), torch.tensor(g[2:])
            optimizer.param_groups[0]["lr"] = rates[k]
            optimizer.step()
            updates, state = transform.update(jax.numpy.asarray(g), state, x)
            x = optax.apply_updates(x, updates)
