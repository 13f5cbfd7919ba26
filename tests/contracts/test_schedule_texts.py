"""Every public function of ``steps`` takes the text of a schedule with ``n_steps``, and does as with the array."""

import inspect

import numpy as np
import pytest
from helpers import public_names

import lastiterate as li
from lastiterate.theory.base.validation import InputError

TEXT, N = "cosine:minimum=0.1,warmup=2", 12
MORE = {
    "average_rate": ("steps",),
    "norms_bound": (np.ones(N),),
    "optimal_merge": ([6, 9, 12],),
    "spa_rate": (0.5,),
    "generalised_primal_averaging_rate": (0.5, 0.5),
    "step_matrix.generalised_primal_averaging": (0.5, 0.5),
    "momentum.spa_rate": (0.5,),
    "momentum.momentum_from_spa": (0.5,),
    "step_matrix.spa": (0.5,),
}
"""Further arguments that some of them need."""
OTHERWISE = {
    "average_iterate_rate": "an old name, which warns",
    "replan": "its n_steps is the horizon, its steps those taken so far",
    "read_losses": "its steps are those of a log",
    "trajectory_bound": "its steps are those of a recorded trajectory",
    "schedules.warmup": "a text has the option",
    "schedules.cooldown": "a text has the option",
    "schedules.override": "a text has the option",
    "schedules.weight_decay": "works on what parse returns",
    "schedules.scale": "works on what parse returns",
    "schedules.write_schedule": "works on what parse returns",
    "simulate": "tested with the simulators",
}


def functions_of_steps():
    for name, thing in public_names():
        parts = {name: thing} if inspect.isfunction(thing) else {}
        if inspect.ismodule(thing):
            parts = {f"{name}.{part}": value for part, value in public_names(thing)}
        for dotted, part in parts.items():
            if inspect.isfunction(part) and "steps" in inspect.signature(part).parameters:
                yield dotted, part


FOUND = dict(functions_of_steps())


def numbers(result):
    value = getattr(result, "value", getattr(result, "values", result))
    return np.concatenate([np.ravel(part) for part in (value if isinstance(value, tuple) else (value,))])


@pytest.mark.parametrize("name", sorted(set(FOUND) - set(OTHERWISE)))
def test_text_and_array_are_the_same(name):
    function, more = FOUND[name], MORE.get(name, ())
    np.testing.assert_array_equal(
        numbers(function(TEXT, *more, n_steps=N)), numbers(function(li.schedules.parse(TEXT, N), *more))
    )
    with pytest.raises(InputError, match="n_steps"):
        function(TEXT, *more)


def test_the_exceptions_are_functions_of_steps():
    assert set(OTHERWISE) <= set(FOUND)


def test_a_number_of_steps_beside_an_array_has_to_be_its_length():
    assert li.exact_rate([1.0, 0.5], n_steps=2).value == li.exact_rate([1.0, 0.5]).value
    with pytest.raises(InputError, match="n_steps"):
        li.exact_rate([1.0, 0.5], n_steps=3)
