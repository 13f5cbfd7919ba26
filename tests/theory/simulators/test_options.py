"""Options of methods outside the range that their name stands for."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.simulators.methods.table import METHODS
from lastiterate.theory.simulators.options import RANGES


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("adam", "beta2", 1.0),
        ("momentum", "beta", 1.5),
        ("momo", "beta", -0.1),
        ("momo", "weight_decay", -1.0),
        ("sps_max", "c", 0.0),
        ("sp", "sps_max", 0.0),
        ("motaps", "gamma_tau", 1.5),
        ("dadapt_da", "option", 3.0),
        ("dadapt_da", "d0", 0.0),
        ("dadapt_sgd", "growth_rate", 0.5),
        ("prodigy", "beta1", 1.5),
        ("mechanic_sgd", "eps", -1.0),
        ("momo", "beta", np.array([0.5, 0.5, 2.0, 0.5])),
        ("momo", "estimate", 0.5j),
        ("prodigy", "d0", True),
        ("adam", "bias_correction", 0.5),
        ("adam", "bias_correction", None),
        ("adam", "bias_correction", [1, 0, 2, 0]),
        ("prodigy", "d0", np.nan),
        ("prodigy", "d0", "1e-6"),
        ("sp", "beta", 1.0),
        ("taps", "beta", 1.0),
        ("dog", "init_eta", -1.0),
        ("mechanic_sgd", "mechanic_betas", (0.9, 1.5)),
        ("mechanic_sgd", "mechanic_betas", ()),
        ("mechanic_adam", "mechanic_betas", [0.5] * 13),
        ("mechanic_adam", "mechanic_betas", "fast"),
    ],
)
def test_values_outside_their_range_are_named(method, option, value):
    with pytest.raises(InputError, match=f"^{option}"):
        li.simulate(problems.absolute_value(), method, np.ones(4), **{option: value})


def test_every_default_lies_in_its_range():
    for row in METHODS.values():
        for name, default in row.options.items():
            if name in RANGES and not isinstance(default, str):
                assert RANGES[name][1](np.atleast_1d(default).astype(float)).all(), name
