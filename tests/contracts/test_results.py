"""What every result satisfies: equal to itself, hashable, picklable, one short line, read-only copies, a kind."""

import pickle
import warnings
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.result import KINDS, Result


def trajectory() -> Any:
    x = np.array([[1.0], [0.5], [0.25]])
    return li.trajectory_bound(x, np.ones((3, 1)), 1.0)


def study() -> Any:
    from lastiterate.solvers.search.objectives import TheoryRate

    return li.search(TheoryRate(8), ["constant", "cosine"], n_shapes=4)


def losses() -> Any:
    log = li.LossLog(np.full(40, 0.1), np.arange(5, 41, 5), 3.0 + 1.0 / np.arange(1, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return li.fit_losses([log], law="exact")


def smoke() -> Any:
    from lastiterate.experiments.training.smoke import smoke as try_out

    return try_out("cpu", workloads=["digits_logistic"], sizes=["tiny"], checks=["steps"], n_steps=2)


STEPS = np.array([0.5, 0.4, 0.3, 0.2])
RESULTS: dict[str, Callable[[], Any]] = {
    "exact_rate": lambda: li.exact_rate(STEPS),
    "exact_rate rising G": lambda: li.exact_rate(STEPS, G=[0.5, 1.0, 0.7, 2.0, 1.0]),
    "exact_rate of many": lambda: li.exact_rate(np.stack([STEPS, STEPS / 2])),
    "theorem10_rate": lambda: li.theorem10_rate(STEPS),
    "average_rate of the steps": lambda: li.average_rate(STEPS, "steps"),
    "tuned average": lambda: li.tune_base_lr(STEPS, bound="average"),
    "schedule_free_rate": lambda: li.schedule_free_rate(STEPS, 0.9),
    "generalised_primal_averaging_rate": lambda: li.generalised_primal_averaging_rate(STEPS, 0.9, 0.7),
    "tune_base_lr": lambda: li.tune_base_lr(STEPS),
    "tightened_rate": lambda: li.tightened_rate(STEPS, G=[1.0, 2.0, 1.0, 1.0, 1.0]),
    "momentum_rate": lambda: li.momentum_rate(STEPS, 0.5),
    "spa_rate": lambda: li.spa_rate(STEPS, 0.5),
    "dual_averaging_rate": lambda: li.dual_averaging_rate(np.ones(4), np.sqrt(np.arange(1.0, 5.0))),
    "average_rate": lambda: li.average_rate(STEPS, np.full(5, 0.2)),
    "rate_curve": lambda: li.rate_curve(STEPS),
    "rate_curve exact": lambda: li.rate_curve(STEPS, bound="exact"),
    "optimal_schedule": lambda: li.optimal_schedule(4),
    "theorem10_optimum": lambda: li.theorem10_optimum(4),
    "optimal_continuation": lambda: li.optimal_continuation(STEPS, 3),
    "optimal_merge": lambda: li.optimal_merge(STEPS, [2, 3, 4]),
    "optimal_batches": lambda: li.optimal_batches(np.ones(8), np.ones(8), tokens=64, max_batch=32),
    "anytime_schedule": lambda: li.anytime_schedule(3, 6),
    "norms_bound": lambda: li.norms_bound(STEPS, np.ones(5)),
    "trajectory_bound": trajectory,
    "refine": lambda: li.refine(1.0 + np.exp(-np.arange(60) / 9), rule="sgd"),
    "norm_limits": lambda: li.norm_limits(1.0 + np.exp(-np.arange(60) / 9)),
    "certificate": lambda: li.exact_rate(STEPS).certificate(),
    "step-matrix certificate": lambda: li.momentum_rate(STEPS, 0.5).certificate(),
    "problem": lambda: li.problems.absolute_value(),
    "minimum": lambda: li.problems.absolute_value().minimum,
    "simulate": lambda: li.simulate(li.problems.absolute_value(), "sgd", STEPS),
    "best rate": lambda: li.simulate(li.problems.absolute_value(), "sgd", STEPS).sweep()[0],
    "worst_case": lambda: li.worst_case(li.step_matrix.sgd(STEPS)),
    "multipliers": lambda: li.worst_case(li.step_matrix.sgd(STEPS)).multipliers,
    "design_schedule": lambda: li.design_schedule(6, max_step=0.2),
    "replan": lambda: li.replan(STEPS, np.ones(5), 3),
    "search": study,
    "fit_losses": losses,
    "dry_run": lambda: li.dry_run("digits_logistic"),
    "cost of a workload": lambda: li.dry_run("digits_logistic").workloads[0],
    "smoke": smoke,
}


@pytest.fixture(scope="module")
def made() -> Callable[[str], Any]:
    cache: dict[str, Any] = {}

    def make(name: str) -> Any:
        if name not in cache:
            try:
                cache[name] = RESULTS[name]()
            except ImportError as error:
                if find_spec("torch"):
                    raise
                pytest.skip(str(error))
        return cache[name]

    return make


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_equal_to_itself_hashable_and_short(made, name):
    result = made(name)
    assert result == result
    assert result != object()
    assert len({result, result}) == 1
    text = repr(result)
    assert "\n" not in text
    assert len(text) < 120, text
    assert "seconds" not in text


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_survives_pickle(made, name):
    result = made(name)
    again = pickle.loads(pickle.dumps(result))
    assert type(again) is type(result)
    assert repr(again) == repr(result)
    if hasattr(result, "value") and not callable(result.value):
        np.testing.assert_array_equal(again.value, result.value)


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_frozen_with_its_arrays(made, name):
    result = made(name)
    assert is_dataclass(result)
    first = fields(result)[0].name
    with pytest.raises(AttributeError):
        setattr(result, first, None)
    for found in (result, pickle.loads(pickle.dumps(result))):
        for item in fields(found):
            value = getattr(found, item.name)
            if isinstance(value, np.ndarray) and name not in ("problem", "minimum"):
                assert not value.flags.writeable, item.name


@pytest.mark.parametrize("name", RESULTS)
def test_a_number_is_a_float_and_has_a_kind(made, name):
    result = made(name)
    value = getattr(result, "value", None)
    if not isinstance(value, float) or name == "minimum":  # a minimum is no bound
        return
    assert float(result) == value
    assert result.kind in KINDS
    if hasattr(result, "exact"):
        assert result.exact is (result.kind in ("exact", "attained"))


def inputs() -> dict[str, np.ndarray]:
    return {"steps": STEPS.copy(), "G": np.array([1.0, 0.9, 0.8, 0.7, 0.6]), "H": li.step_matrix.sgd(STEPS).copy()}


TAKING_ARRAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "exact_rate": lambda a: li.exact_rate(a["steps"], G=a["G"]),
    "theorem10_rate": lambda a: li.theorem10_rate(a["steps"], G=a["G"]),
    "tune_base_lr": lambda a: li.tune_base_lr(a["steps"], G=a["G"]),
    "tightened_rate": lambda a: li.tightened_rate(a["steps"], G=a["G"]),
    "momentum_rate": lambda a: li.momentum_rate(a["steps"], 0.5, G=a["G"]),
    "dual_averaging_rate": lambda a: li.dual_averaging_rate(a["steps"], np.ones(4), G=a["G"]),
    "average_rate": lambda a: li.average_rate(a["steps"], a["G"] / a["G"].sum()),
    "worst_case": lambda a: li.worst_case(a["H"], G=a["G"]),
    "optimal_continuation": lambda a: li.optimal_continuation(a["steps"], 2, G=a["G"][0]),
    "rate_curve": lambda a: li.rate_curve(a["steps"], bound="exact"),
    "norms_bound": lambda a: li.norms_bound(a["steps"], a["G"]),
    "refine": lambda a: li.refine(a["G"], rule="sgd"),
    "replan": lambda a: li.replan(a["steps"], a["G"], 2),
}


@pytest.mark.parametrize("name", TAKING_ARRAYS)
def test_changing_an_input_after_the_call_changes_nothing(name):
    arrays = inputs()
    changed, kept = TAKING_ARRAYS[name](arrays), TAKING_ARRAYS[name](inputs())
    for array in arrays.values():
        array[...] = 9.0
    for item in fields(kept):
        before, after = getattr(kept, item.name), getattr(changed, item.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before, err_msg=item.name)
    for attribute in ("weights", "steps", "G"):
        if hasattr(kept, attribute):
            np.testing.assert_array_equal(getattr(changed, attribute), getattr(kept, attribute))
    if hasattr(kept, "certificate"):
        assert changed.certificate().value == kept.certificate().value


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_draws_itself_or_says_that_it_cannot(made, name):
    from matplotlib import pyplot

    result = made(name)
    if getattr(result, "_plot", ""):
        result.plot()
        drawn = pyplot.gcf().axes
        assert any(axes.has_data() for axes in [*drawn, *(child for axes in drawn for child in axes.child_axes)])
    elif isinstance(result, Result):
        with pytest.raises(TypeError, match="no picture"):
            result.plot()


@pytest.mark.parametrize("name", RESULTS)
def test_a_notebook_shows_a_result_with_what_its_one_line_says(made, name):
    result = made(name)
    if not isinstance(result, Result):
        return
    page = result._repr_html_()
    assert page.startswith(f"<strong>{type(result).__name__}</strong>")
    assert "seconds" not in page
    assert len(page) < 10_000
    for shown in result._shown:
        if hasattr(result, shown):
            assert f">{shown}</th>" in page


@pytest.mark.parametrize("name", RESULTS)
def test_a_table_or_array_becomes_a_frame_and_a_dataset(made, name):
    result = made(name)
    if not isinstance(result, Tabular):
        assert not hasattr(result, "to_pandas")
        return
    frame, dataset = result.to_pandas(), result.to_xarray()
    assert len(frame) > 0
    for column in result._columns:
        np.testing.assert_array_equal(frame[column], getattr(result, column))
        np.testing.assert_array_equal(dataset[column], getattr(result, column))
    if not result._columns:
        rows = result.table()
        assert len(frame) == len(rows)
        assert list(frame.columns) == list(rows[0])
