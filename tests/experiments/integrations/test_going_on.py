"""In every framework: a run that resumes, one that accumulates, and one that is continued with another schedule."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from adapter_runs import FRAMEWORKS, folder_of, package

import lastiterate as li
from lastiterate.theory.base.validation import InputError

pytestmark = pytest.mark.slow
STEPS = li.schedules.linear(8)
BASE_LR = 0.01
WORKER = Path(__file__).with_name("accelerate_worker.py")


@pytest.fixture(params=FRAMEWORKS)
def play(request):
    return FRAMEWORKS[request.param]


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(play, tmp_path):
    whole = play(folder_of(tmp_path / "whole"), STEPS, until=8)
    first = play(folder_of(tmp_path / "first"), STEPS, until=3)
    rest = play(folder_of(tmp_path / "rest"), STEPS, until=8, resume=tmp_path / "first")
    np.testing.assert_array_equal(rest.weights, whole.weights)
    assert first.lrs + rest.lrs == whole.lrs
    np.testing.assert_allclose(whole.lrs, BASE_LR * STEPS, rtol=1e-6)  # optax computes in single precision
    np.testing.assert_array_equal(rest.norms, whole.norms)
    assert whole.norms.size == 8
    assert not np.array_equal(first.weights, whole.weights)


def test_micro_batches_take_one_step_of_the_schedule_an_update(play, tmp_path):
    whole = play(folder_of(tmp_path / "whole"), STEPS, until=8)
    split = play(folder_of(tmp_path / "split"), STEPS, until=8, accumulate=2)
    assert split.lrs == whole.lrs
    np.testing.assert_allclose(split.norms, whole.norms, rtol=1e-4)  # of the sum, once an update
    np.testing.assert_allclose(split.weights, whole.weights, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_is_continued_with_a_longer_schedule_that_agrees_so_far(play, tmp_path):
    play(folder_of(tmp_path / "first"), STEPS, until=3)
    longer = np.concatenate([STEPS[:3], li.optimal_continuation(STEPS[:3], 9).steps])
    extended = play(folder_of(tmp_path / "extended"), longer, until=12, resume=tmp_path / "first")
    np.testing.assert_allclose(extended.lrs, BASE_LR * longer[3:], rtol=1e-6)
    assert extended.norms.size == 12


@pytest.mark.parametrize("name", [name for name in FRAMEWORKS if name != "optax"])  # whose schedules have no state
def test_a_schedule_that_disagrees_on_steps_already_taken_is_refused(name, tmp_path):
    FRAMEWORKS[name](folder_of(tmp_path / "first"), STEPS, until=3)
    with pytest.raises(InputError, match=r"steps\[1\] = 0.875"):
        FRAMEWORKS[name](folder_of(tmp_path / "other"), np.ones(12), until=12, resume=tmp_path / "first")


def test_a_scheduler_that_accelerate_prepares_steps_once_a_process(tmp_path):
    package("accelerate")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(WORKER)]
    done = subprocess.run([*command, str(tmp_path / "rates.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "rates.json").read_text())
    assert found["apart"] == [2, [1.0, 0.875, 0.75, 0.625]]
    assert found["prepared"] == [2, [1.0, 0.75, 0.5, 0.25]]
