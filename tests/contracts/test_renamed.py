"""Old names of arguments, results and options: for one release they do what the new ones do, and say so."""

import inspect
import warnings

import numpy as np
import pytest
import typer

import lastiterate as li
from lastiterate.cli import app
from lastiterate.theory.methods import step_matrix
from lastiterate.theory.rates.methods import dual_averaging

STEPS = [0.3, 0.2, 0.1]
RUN = {"n_steps": 5, "base_lrs": [1.0], "n_seeds": 1, "n_tuning_seeds": 1, "extensions": 0, "progress": False}

RENAMED = [
    (step_matrix.momentum, (STEPS,), {"beta": ("momentum", 0.5)}),
    (step_matrix.spa, (STEPS,), {"c": ("averaging", 0.5)}),
    (
        step_matrix.dual_averaging,
        (),
        {"lam": ("weights", STEPS), "beta": ("scalings", 2.0), "c": ("averaging", 0.5)},
    ),
    (li.momentum.momentum_rate, (STEPS,), {"beta": ("momentum", 0.5)}),
    (li.momentum.spa_rate, (STEPS,), {"c": ("averaging", 0.5)}),
    (li.momentum.spa_from_momentum, (STEPS,), {"beta": ("momentum", 0.5)}),
    (li.momentum.momentum_from_spa, (STEPS,), {"c": ("averaging", 0.5)}),
    (li.dual_averaging_rate, (), {"lam": ("weights", STEPS), "beta": ("scalings", [1.0, 2.0, 3.0])}),
    (
        dual_averaging.dual_averaging_average_rate,
        (),
        {"lam": ("weights", STEPS), "beta": ("scalings", 2.0)},
    ),
    (dual_averaging.converted_dual_averaging, (), {"lam": ("weights", STEPS), "beta": ("scalings", 2.0)}),
    (dual_averaging.converted_dual_averaging_rate, (), {"lam": ("weights", STEPS), "beta": ("scalings", 2.0)}),
    (li.problems.max_coordinate, (), {"caps": ("G", [1.0, 2.0])}),
]


def numbers(result):
    """The numbers by which two results of one call can be compared."""
    return result.f_star if isinstance(result, li.Problem) else getattr(result, "value", result)


@pytest.mark.parametrize(("function", "given", "names"), RENAMED, ids=lambda item: getattr(item, "__name__", ""))
def test_old_arguments_do_what_the_new_ones_do(function, given, names):
    new = dict(names.values())
    assert set(new) <= set(inspect.signature(function).parameters)
    assert not set(names) & set(inspect.signature(function).parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old = function(*given, **{name: value for name, (_, value) in names.items()})
    assert {(warning.category, warning.filename) for warning in caught} == {(DeprecationWarning, __file__)}
    assert sorted(str(warning.message) for warning in caught) == sorted(
        f"{function.__name__}({name}=) is deprecated and will be removed in 0.3; use {function.__name__}({now}=)"
        for name, (now, _) in names.items()
    )
    np.testing.assert_array_equal(numbers(old), numbers(function(*given, **new)))
    np.testing.assert_array_equal(numbers(old), numbers(function(*given, *new.values())))
    name, (now, value) = next(iter(names.items()))
    with pytest.raises(TypeError, match=f"both '{now}' and its old name '{name}'"):
        function(*given, **{name: value, now: value})


def test_old_fields_of_weights_and_scalings():
    best = dual_averaging.optimal_dual_averaging(3)
    with pytest.warns(DeprecationWarning, match="DualAveraging.weights"):
        assert best.lam is best.weights
    with pytest.warns(DeprecationWarning, match="DualAveraging.scalings"):
        assert best.beta is best.scalings


def test_old_number_of_workers():
    pytest.importorskip("torch")
    with pytest.warns(DeprecationWarning, match=r"replay\(n_jobs=\)"):
        old = li.replay("digits_logistic", [], jobs=1, **RUN)
    assert old.table() == li.replay("digits_logistic", [], n_jobs=1, **RUN).table()


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("replay", ("--n-jobs", "--jobs", "-j")),
        ("sweep run", ("--n-jobs", "--jobs", "-j")),
        ("search", ("--n-jobs", "--jobs", "-j")),
        ("refine", ("--steps", "-n", "--horizon")),
        ("worst-case", ("--momentum", "--beta")),
    ],
)
def test_old_options_are_other_names_of_the_new_ones(command, names):
    found = typer.main.get_command(app)
    for part in command.split():
        found = found.commands[part]
    assert names in [tuple(parameter.opts) for parameter in found.params]
