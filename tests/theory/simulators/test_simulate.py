"""The engine: axes, reproducibility, records, divergence, the last-iterate wrapper, bad input."""

import os
import signal
import threading

import numba
import numpy as np
import pytest
from helpers import PROBLEMS
from margin_references import called
from method_references import split_mix

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.simulators.kernels import draws
from lastiterate.theory.simulators.kernels.views import from_python
from lastiterate.theory.simulators.methods.table import METHODS
from lastiterate.theory.simulators.simulate import simulate


def test_axes_follow_schedules_base_lrs_and_seeds():
    problem = PROBLEMS["logistic"]()
    schedules = {"linear": "linear", "flat": np.ones(50)}
    run = simulate(
        problem, "sgd", schedules, n_steps=50, base_lr=[0.1, 0.2, 0.4], seeds=[4, 9], batch_size=8, record=10
    )
    assert run.f.shape == (2, 3, 2, 11)
    assert list(run.axes) == ["schedule", "base_lr", "seed", "step"]
    assert run.axes["schedule"] == ("linear", "flat")
    assert run.axes["seed"] == (4, 9)
    assert run.recorded.tolist() == list(range(0, 51, 5))
    single = simulate(problem, "sgd", 0.4 * np.ones(50), seeds=[9], batch_size=8, record=10)
    np.testing.assert_array_equal(run.f[1, 2, 1], single.f[0, 0, 0])


def test_results_do_not_depend_on_the_number_of_threads():
    problem, threads = PROBLEMS["logistic"](), numba.get_num_threads()
    chosen = {"base_lr": np.geomspace(0.01, 1.0, 5), "seeds": 4, "batch_size": 4, "noise": 0.3}
    runs = []
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            runs.append(simulate(problem, "adam", "cosine", n_steps=100, **chosen))
    finally:
        numba.set_num_threads(threads)
    for run in runs[1:]:
        np.testing.assert_array_equal(run.f, runs[0].f)
        np.testing.assert_array_equal(run.points, runs[0].points)


def test_one_diagnostic_may_be_named_alone():
    run = simulate(PROBLEMS["l1"](), "sgd", "linear", n_steps=9, diagnostics="move", record=9)
    assert list(run.diagnostics) == ["move"]


def test_diagnostics_from_a_generator_are_recorded():
    run = simulate(PROBLEMS["l1"](), "sgd", np.ones(9), diagnostics=(name for name in ("move", "distance")))
    assert list(run.diagnostics) == ["move", "distance"]


def test_schedules_may_mix_texts_lists_and_tuples():
    run = simulate(PROBLEMS["l1"](), "sgd", ["constant", [1.0] * 5, (1,) * 6], n_steps=5)
    assert run.schedules == ("constant", "schedule 1", "schedule 2")
    np.testing.assert_array_equal(run.steps, np.ones((3, 5)))


def test_messages_show_plain_numbers():
    with pytest.raises(InputError, match=r"got -1\.0$"):
        simulate(PROBLEMS["l1"](), "sgd", np.ones(3), base_lr=np.array([0.1, -1.0]))


def test_the_seed_alone_fixes_batches():
    problem = PROBLEMS["l1"]()
    runs = [simulate(problem, "sgd", "linear", n_steps=60, seeds=[s], batch_size=2, base_lr=0.1) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].f, runs[1].f)
    assert not np.array_equal(runs[0].f, runs[2].f)


def test_generator_vs_python_integers():
    bits, random = split_mix(12345), np.array([12345], dtype=np.uint64)
    assert [bits() for _ in range(100)] == [int(called(draws.next_bits, random)) for _ in range(100)]


def test_noise_has_the_stated_norm_and_no_mean():
    random, total, square = np.array([1], dtype=np.uint64), np.zeros(5), 0.0
    for _ in range(20_000):
        g = np.zeros(5)
        called(draws.add_noise, random, 2.0, g)
        total += g
        square += g @ g
    assert square / 20_000 == pytest.approx(4.0, rel=0.03)  # standard error 0.0045 relative
    assert np.abs(total / 20_000).max() < 5 * 2.0 / np.sqrt(5 * 20_000)


def test_recording_does_not_change_the_run():
    problem = PROBLEMS["hinge"]()
    dense = simulate(problem, "momentum", "linear", n_steps=70, base_lr=0.05, record=70, batch_size=4)
    sparse = simulate(problem, "momentum", "linear", n_steps=70, base_lr=0.05, record=[13], batch_size=4)
    assert sparse.recorded.tolist() == [0, 13, 70]
    np.testing.assert_array_equal(sparse.f[..., 1], dense.f[..., 13])
    np.testing.assert_array_equal(sparse.points, dense.points)


def test_zero_base_lr_stays_and_f_is_taken_after_the_last_step():
    problem = problems.absolute_value(1.0)
    run = simulate(problem, "sgd", np.array([0.25]), base_lr=[0.0, 1.0])
    assert run.final.ravel().tolist() == [1.0, 0.75]


def test_a_diverging_run_stops_is_marked_and_leaves_the_others_alone():
    problem = PROBLEMS["least squares"]()
    run = simulate(problem, "sgd", np.ones(2000), base_lr=[0.01, 100.0], record=2000)
    assert run.diverged.ravel().tolist() == [False, True]
    stop = int(run.stopped_at[0, 1, 0])
    assert 0 < stop < 100
    assert np.isinf(run.f[0, 1, 0, stop:]).all()
    assert np.isfinite(run.f[0, 1, 0, :stop]).all()
    alone = simulate(problem, "sgd", np.ones(2000), base_lr=[0.01], record=2000)
    np.testing.assert_array_equal(run.f[0, 0], alone.f[0, 0])
    assert run.sweep()[0].base_lr == 0.01


def test_wrapper_vs_effective_steps_of_sgd():
    """Around SGD with constant steps and weights one the conversion is SGD with linear decay."""
    problem, N = PROBLEMS["l1"](), 50
    wrapped = simulate(problem, "sgd", np.full(N, 0.2), to_last_iterate=True, record=N)
    plain = simulate(problem, "sgd", 0.2 * li.schedules.linear(N) / li.schedules.linear(N)[0] * N / (N + 1), record=N)
    np.testing.assert_allclose(wrapped.f, plain.f, rtol=1e-10)


@pytest.mark.parametrize("method", ["sgd", "dual_averaging", "adagrad_norm", "adam", "momentum"])
@pytest.mark.parametrize("name", ["absolute", "l1", "hinge", "max affine", "logistic"])
def test_wrapper_regret_bounds_the_last_iterate(name, method):
    problem, N = PROBLEMS[name](), 80
    weights = np.random.default_rng(1).uniform(0.5, 2.0, N + 1)
    for chosen in (True, weights):
        run = simulate(problem, method, np.full(N, 0.1), to_last_iterate=chosen)
        assert run.bound_iterate == "last"
        assert run.gap[0, 0, 0] <= run.bound[0, 0, 0] + 1e-12


def test_best_is_at_most_the_final_value_and_average_needs_recording():
    run = simulate(PROBLEMS["l1"](), "sgd", "constant", n_steps=60, base_lr=0.3, average=True)
    assert run.best <= run.final
    assert np.isfinite(run.averaged).all()
    with pytest.raises(InputError, match="average"):
        _ = simulate(PROBLEMS["l1"](), "sgd", "constant", n_steps=5).averaged


@pytest.mark.filterwarnings("ignore:.* d is still d0")  # a tenth of the rate that the theory is about
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["l1", "logistic sparse", "softmax"])
def test_every_method_runs_on_batches_and_takes_a_schedule(name, method):
    problem = PROBLEMS[name]()
    run = simulate(problem, method, ["linear", "constant"], n_steps=120, base_lr=0.1, batch_size=5, record=4)
    assert run.f.shape == (2, 1, 1, 5)
    assert not run.diverged.any()
    assert np.isfinite(run.f).all()
    assert run.bound is not None or run.bound_reason


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"method": "sgdd"}, "method"),
        ({"steps": np.ones(5), "n_steps": 6}, "steps"),
        ({"steps": "linear"}, "n_steps"),
        ({"steps": [np.ones(5), np.ones(6)]}, "steps['schedule 1']"),
        ({"steps": {}}, "steps"),
        ({"beta": 0.9}, "beta"),
        ({"method": "momentum", "beta": np.ones(3)}, "beta"),
        ({"method": "momentum", "beta": np.nan}, "beta"),
        ({"method": "momentum", "beta": "large"}, "beta"),
        ({"method": "momentum", "beta": True}, "beta"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 41}, "batch_size"),
        ({"base_lr": -1.0}, "base_lr"),
        ({"base_lr": []}, "base_lr"),
        ({"base_lr": np.nan}, "base_lr"),
        ({"base_lr": [0.1, [0.2]]}, "base_lr"),
        ({"seeds": 2**70}, "seeds"),
        ({"record": [[1], [2, 3]]}, "record"),
        ({"diagnostics": None}, "diagnostics"),
        ({"average": "no"}, "average"),
        ({"replacement": "no", "batch_size": 2}, "replacement"),
        ({"to_last_iterate": np.full(6, 1e308)}, "to_last_iterate"),
        ({"method": "momentum", "beta": [0.5, [0.5]]}, "beta"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [-1]}, "seeds"),
        ({"noise": -0.1}, "noise"),
        ({"record": [7]}, "record"),
        ({"record": 0}, "record"),
        ({"diagnostics": ["gradient"]}, "diagnostics"),
        ({"to_last_iterate": np.ones(5)}, "to_last_iterate"),
    ],
)
def test_bad_input_is_named(arguments, argument):
    with pytest.raises(InputError) as caught:
        simulate(PROBLEMS["l1"](), **{"steps": np.ones(5), **arguments})
    assert caught.value.argument == argument


def test_no_batches_of_a_problem_that_is_no_mean():
    with pytest.raises(InputError, match="batch_size"):
        simulate(PROBLEMS["max affine"](), "sgd", np.ones(3), batch_size=2)


def test_a_minimum_above_the_values_seen_is_refused():
    with pytest.raises(InputError, match="f_star"):
        simulate(problems.absolute_value(1.0), "polyak", np.ones(10), f_star=2.0)


def test_a_problem_whose_minimum_a_run_has_beaten_is_refused():
    import dataclasses

    problem = problems.absolute_value(1.0)
    wrong = dataclasses.replace(problem, known=dataclasses.replace(problem.minimum, value=0.5))
    run = simulate(wrong, "sgd", np.full(4, 0.25))
    with pytest.raises(InputError, match=r"problem\.f_star"):
        _ = run.gap


@pytest.mark.parametrize("kind", ["hinge", "max_affine"])
@pytest.mark.parametrize("x", [np.nan, np.inf, -np.inf])
def test_an_overflowed_point_never_looks_good(kind, x):
    """The losses that are flat or linear somewhere must not hide that the point is lost."""
    from lastiterate.theory.simulators.kernels.margins import WORK
    from lastiterate.theory.simulators.kernels.oracles import oracle_of

    problem = problems.hinge([[1.0, 2.0], [-1.0, 3.0]], [1.0, -1.0])
    if kind == "max_affine":
        problem = problems.max_affine([[1.0, 2.0], [-1.0, -2.0]], [0.0, 0.5])
    arrays, g = problem.arrays, np.zeros(2)
    params = np.array([arrays.kind, 1.0, 0.0, 0.0, 0.0])
    none, stride, work = np.empty(0, dtype=np.int64), np.array([2]), np.zeros(WORK)
    point = np.array([x, 1.0])
    oracle = oracle_of(problem.kind, sparse=False, width=2)
    value = called(oracle, 0, point, none, arrays.dense.ravel(), stride, arrays.targets, params, True, work, g)
    assert not np.isfinite(value + g.sum())


def test_runs_that_overflow_are_marked_and_the_others_keep_their_gap():
    data = problems.dataset("breast_cancer")
    problem = problems.hinge(data.features, data.one_against_rest())
    run = simulate(problem, "polyak", np.ones(1000), base_lr=[1.0, 4.0, 10.0], record=1)
    assert run.diverged[0, :, 0].tolist() == [False, True, True]
    assert 0.0 < run.gap[0, 0, 0] < np.inf
    assert run.sweep()[0].base_lr == 1.0


def test_a_start_at_the_minimiser_has_a_gap_and_says_why_there_is_no_bound():
    run = simulate(problems.absolute_value(0.0), "sgd", "linear", n_steps=5, base_lr=0.1)
    assert run.bound is None
    assert "minimiser" in run.bound_reason
    assert np.isfinite(run.gap).all()


def test_gap_speaks_of_the_iterate_of_the_first_bound_there_is():
    run = simulate(PROBLEMS["l1"](), "dual_averaging", np.ones(50), base_lr=[0.0, 0.1])
    assert run.bound_iterate == "average"
    np.testing.assert_array_equal(run.gap, run.averaged - run.problem.f_star)


def test_a_grid_that_diverges_everywhere_has_no_good_range():
    least_squares = problems.quadratic([1.0, 4.0])
    best = simulate(least_squares, "sgd", np.ones(300), base_lr=[1e3, 1e4]).sweep()[0]
    assert best.gap == np.inf
    assert best.decades == 0.0


@pytest.mark.parametrize(
    ("arguments", "name"), [({"problem": "iris"}, "problem"), ({"seeds": [2**64]}, "seeds"), ({"seeds": [-1]}, "seeds")]
)
def test_wrong_kinds_are_named(arguments, name):
    chosen = {"problem": problems.absolute_value(1.0), "n_steps": 3, **arguments}
    with pytest.raises(InputError, match=name):
        simulate(chosen.pop("problem"), "sgd", "linear", **chosen)


def test_ragged_rows_and_unknown_classes_are_named():
    with pytest.raises(InputError, match="matrix"):
        problems.logistic([[1.0, 2.0], [3.0]], [1.0, -1.0])
    with pytest.raises(InputError, match="positive"):
        problems.dataset("iris").one_against_rest("setosa")


def _rows():
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((1000, 50))
    return matrix, np.sign(matrix[:, 0])


def test_a_long_run_shows_its_progress_when_asked(monkeypatch, capsys):
    from lastiterate.theory.simulators import running

    monkeypatch.setattr(running, "_PATIENCE", 0.0)
    problem = problems.hinge(*_rows())
    quiet = simulate(problem, "sgd", np.ones(10_000), base_lr=1e-3, record=1, progress=False)
    assert capsys.readouterr().err == ""
    shown = simulate(problem, "sgd", np.ones(10_000), base_lr=1e-3, record=1, progress=True)
    error = capsys.readouterr().err
    assert "simulate" in error
    assert "/10001" in error
    np.testing.assert_array_equal(shown.points, quiet.points)


@pytest.fixture
def compiled_before():
    """Compile what a long run of the hinge loss calls."""
    simulate(problems.hinge(*_rows()), "sgd", np.ones(2), base_lr=1e-3, record=1, progress=False)


@pytest.mark.timeout(30, func_only=True)  # to its end the run would take longer
def test_an_interrupt_stops_a_run_at_its_next_step(compiled_before, monkeypatch):
    def interrupted(function, signature):
        compiled = from_python(function, signature)

        def begin(*arguments):
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            compiled(*arguments)

        return begin

    monkeypatch.setattr("lastiterate.theory.simulators.simulate.from_python", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            simulate(problems.hinge(*_rows()), "sgd", np.ones(10**7), base_lr=1e-3, record=1, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
