"""Every simulated method against every option of its reference: there, called otherwise, or refused by name."""

from pathlib import Path

import numpy as np
import pytest
from helpers import recent_optax
from method_options import REFERENCES, cross, table

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.simulators.methods.table import METHODS
from lastiterate.theory.simulators.simulate import simulate

DOCS = Path(__file__).parents[3] / "docs" / "method_options.md"


def test_every_method_has_a_reference():
    assert set(REFERENCES) == set(METHODS)


def needed(method):
    """Skip where the package of the reference is missing, or too old to have it."""
    package = REFERENCES[method].of.partition(".")[0] if REFERENCES[method].packaged else "numpy"
    if package == "optax":
        recent_optax()
    pytest.importorskip(package)


@pytest.mark.parametrize("method", METHODS)
def test_options_of_the_reference_are_there_or_refused_by_name(method):
    needed(method)
    problem, found = li.problems.absolute_value(1.0), cross(method)
    assert "missing" not in found.values()
    for name, here in found.items():
        if name in METHODS[method].options:
            assert here == name
            continue
        with pytest.raises(InputError, match=f"^{name}"):
            simulate(problem, method, np.ones(3), **{name: 0.5})
    words = {word for name in REFERENCES[method].here for word in found[name].split(", ") if word.isidentifier()}
    assert words - {"on"} <= {*METHODS[method].options, "base_lr"}


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if "weight_decay" not in row.options])
def test_weight_decay_is_refused_where_the_reference_has_none(method):
    with pytest.raises(InputError, match=r"^weight_decay: .*reference has none"):
        simulate(li.problems.absolute_value(1.0), method, np.ones(3), weight_decay=0.1)
    needed(method)
    assert cross(method).get("weight_decay") in (None, "refused")


@pytest.mark.parametrize(
    ("method", "name", "instead"),
    [
        ("adam", "lr", "base_lr"),
        ("adam", "betas", "beta1 and beta2"),
        ("adam", "amsgrad", "the method 'amsgrad'"),
        ("momentum", "nesterov", "the method 'nesterov'"),
        ("sgd", "momentum", "the method 'momentum'"),
        ("mechanic_sgd", "betas", r"mechanic_betas \(of the tuners\) instead"),
        ("lion", "mask", "x is one: weight_decay=0 is mask=False"),
        ("momo", "lb", "lower_bound"),
        ("sgd", "foreach", "results do not depend on it"),
        ("sgd", "maximize", "minimised"),
        ("lion", "mu_dtype", "double precision"),
        ("sgd", "speed", "an option of 'sgd': weight_decay"),
    ],
)
def test_a_refusal_says_what_to_write(method, name, instead):
    with pytest.raises(InputError, match=instead):
        simulate(li.problems.absolute_value(1.0), method, np.ones(3), **{name: True})


@pytest.mark.parametrize(("blocks", "method"), [(2, "muon"), (0, "muon"), (1.5, "dog_layerwise"), ([3] * 3, "muon")])
def test_blocks_divide_x(blocks, method):
    problem = li.problems.hinge(np.ones((2, 3)), [1, -1])
    with pytest.raises(InputError, match=r"^blocks"):
        simulate(problem, method, np.ones(3), blocks=blocks)
    assert simulate(problem, method, np.ones(3), blocks=3).options["blocks"] == 3.0


def test_the_docs_print_this_table():
    recent_optax()
    for package in ("torch", "madgrad", "schedulefree", "dadaptation", "prodigyopt", "momo", "dog"):
        pytest.importorskip(package)
    assert table() in DOCS.read_text(encoding="utf-8"), "paste the output of: python tests/method_options.py"
