"""Steps of runs that were resumed, rolled back, restarted or shuffled, against the run that was made first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastiterate.experiments.logs.order import in_run_order as with_values
from lastiterate.experiments.logs.table import is_step_name
from lastiterate.theory.base.validation import InputError


def in_run_order(steps, epochs, place, **options):
    """With values that say nothing of the order."""
    return with_values(steps, np.ones(steps.size), epochs, place, **options)


def place(k):
    return f"row {k}"


def literal_run(branches):
    """What a run keeps that logs (step, value) and forgets whatever it had from a step that it logs again."""
    kept = []
    for branch in branches:
        kept = [pair for pair in kept if pair[0] < branch[0][0]] + branch
    return kept


@given(
    st.integers(1, 20),
    st.integers(5, 60),
    st.lists(st.tuples(st.integers(1, 80), st.integers(4, 40), st.integers(0, 19)), max_size=2),
)
def test_rolled_back_runs_keep_the_last_branch(stride, length, resumes):
    branches = [[(stride * k, 0) for k in range(length)]]
    for branch, (at, count, offset) in enumerate(resumes, start=1):
        first = min(at + offset % stride, branches[-1][-1][0])
        branches.append([(first + stride * k, branch) for k in range(count)])
    rows = [pair for branch in branches for pair in branch]
    steps = np.array([step for step, _ in rows], dtype=np.float64)
    ordered, kept, notes = in_run_order(steps, None, place)
    expected = literal_run(branches)
    assert ordered.tolist() == [step for step, _ in expected]
    assert [rows[k] for k in kept] == expected
    assert (len(expected) < len(rows)) == any("left out" in note or "again" in note for note in notes)


@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=80, unique=True), st.randoms())
def test_shuffled_rows_without_repeats_are_sorted(steps, random):
    shuffled = sorted(steps)
    random.shuffle(shuffled)
    shuffled = [min(steps) - 1, *shuffled] if min(steps) > 0 else shuffled
    array = np.array(shuffled, dtype=np.float64)
    back = np.diff(array) < 0
    try:
        ordered, kept, notes = in_run_order(array, None, place)
    except InputError:
        assert (array[1:][back] <= array[0]).any()
        return
    assert (np.diff(ordered) > 0).all()
    np.testing.assert_array_equal(array[kept], ordered)
    assert ordered.size == array.size or any("left out" in note for note in notes)


@given(st.integers(2, 6), st.integers(2, 30), st.integers(1, 10), st.integers(0, 1))
def test_a_counter_per_epoch_is_counted_on_with_its_epochs_and_refused_without(epochs, rows, stride, first):
    steps = np.tile(first + stride * np.arange(float(rows)), epochs)
    numbers = np.repeat(np.arange(float(epochs)), rows)
    ordered, kept, notes = in_run_order(steps, numbers, place)
    np.testing.assert_array_equal(ordered, first + stride * np.arange(float(rows * epochs)))
    assert kept.size == steps.size
    assert "starts again" in notes[0]
    with pytest.raises(InputError, match=rf"steps: .*step_column.*at row {rows}"):
        in_run_order(steps, None, place)
    counted, _, _ = in_run_order(steps, None, place, by_rows=True)
    np.testing.assert_array_equal(counted, np.arange(float(rows * epochs)))


def test_a_late_row_is_put_in_its_place_and_a_backward_log_is_turned():
    ordered, kept, notes = in_run_order(np.array([0.0, 1, 2, 4, 3, 5, 6, 7, 8]), None, place)
    assert ordered.tolist() == list(range(9))
    assert kept.tolist() == [0, 1, 2, 4, 3, 5, 6, 7, 8]
    assert "sorted" in notes[0]
    assert in_run_order(np.array([30.0, 20, 10]), None, place)[0].tolist() == [10, 20, 30]


def test_shuffled_rows_with_repeats_are_refused():
    steps = np.array([0.0, 5, 3, 5, 2, 5, 1, 6])
    with pytest.raises(InputError, match="order of the run"):
        in_run_order(steps, None, place)


@pytest.mark.parametrize(
    "name",
    [
        "step",
        "_step",
        "Step",
        "global_step",
        "trainer/global_step",
        "train/globalStep",
        "iterations",
        "train/step",
        "iter",
        "n_iter",
        "run a - step",
        "training_step",
        "num_updates",
        "optimizer_steps",
        "t",
        "Iteration",
        "global step",
    ],
)
def test_names_of_step_counters(name):
    assert is_step_name(name)


@pytest.mark.parametrize(
    "name",
    ["step_size", "steps_per_second", "grad_norm", "epoch", "time", "total_steps", "tokens", "max_steps", "lr_step"],
)
def test_names_of_other_things(name):
    assert not is_step_name(name)


@given(st.integers(8, 40), st.integers(1, 3), st.integers(0, 1000))
def test_rows_that_stand_twice_count_once(n, copies, first):
    steps, values = first + 10.0 * np.arange(n), np.sin(np.arange(float(n)))
    again = [np.arange(n)] + [np.arange(n // 2)] * copies
    rows = np.concatenate(again)
    ordered, kept, notes = with_values(steps[rows], values[rows], None, place)
    assert ordered.tolist() == steps.tolist()
    assert kept.tolist() == list(range(n))
    assert "repeat" in notes[0]
    changed = values[rows].copy()
    changed[-1] += 1.0
    with pytest.raises(InputError, match="start again"):
        with_values(steps[rows], changed, None, place)
