"""What a device asks for: overflow in fp16, types it lacks, page-locked batches, its own settings and its own name."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import lastiterate as li
from lastiterate.experiments.replay.provenance import provenance
from lastiterate.experiments.replay.recorded_norms import without_gaps
from lastiterate.experiments.training import distributed, environment
from lastiterate.experiments.training import train as training
from lastiterate.experiments.training.batches import upcoming
from lastiterate.experiments.training.train import TrainingSettings, train
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError

WORKER = Path(__file__).with_name("distributed_worker.py")


class Wrapped:
    """A workload with another loss, batch or model."""

    def __init__(self, inner, **members):
        self.inner = inner
        self.__dict__.update(members)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.fixture(scope="module")
def mlp():
    return load_workload("digits_mlp")


def test_a_step_that_overflows_in_fp16_is_repeated_at_a_smaller_scale(mlp):
    """A loss so large that the first scales overflow: no norm is lost, and the run is that of single precision."""
    large = Wrapped(mlp, loss=lambda model, batch: 100.0 * mlp.loss(model, batch))
    steps = li.schedules.linear(12)
    taken = []
    batches = Wrapped(large, batch=lambda seed, step: taken.append(step) or mlp.batch(seed, step))
    half = train(batches, steps, 1e-4, settings=TrainingSettings(precision="fp16"))
    full = train(large, steps, 1e-4)
    assert taken == list(range(12))
    assert np.isfinite(half.l1).all()
    np.testing.assert_allclose(half.l2, full.l2, rtol=0.02)
    np.testing.assert_allclose(half.losses, full.losses, rtol=0.02)


def test_the_schedule_does_not_advance_on_a_step_that_is_left_out(mlp, monkeypatch):
    """The gradient of step 2 is infinite at every scale, its loss is finite: the optimizer's moves show the rates."""

    def loss(model, batch):
        value = mlp.loss(model, batch[:2])
        return value + torch.sqrt(0.0 * value) if float(batch[2][0]) == 2.0 else value

    marked = Wrapped(mlp, loss=loss, batch=lambda seed, step: (*mlp.batch(seed, step), torch.full((32,), float(step))))
    rates = []
    plain = torch.optim.SGD.step

    def step(this, *given, **named):
        rates.append(this.param_groups[0]["lr"])
        return plain(this, *given, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    values = [1.0, 0.8, 0.6, 0.4, 0.2]
    run = train(marked, values, 0.1, optimizer="sgd", settings=TrainingSettings(precision="fp16"))
    np.testing.assert_allclose(rates, 0.1 * np.array(values[:4]))  # step 2 took none, so 0.6 went to step 3
    assert np.isfinite(run.losses).all()
    assert np.flatnonzero(~np.isfinite(run.l2)).tolist() == [2]


def test_norms_of_overflowed_steps_are_never_the_smallest():
    """A warm-up whose norms were lost keeps large norms, and so small steps."""
    rng = np.random.default_rng(0)
    norms = np.exp(rng.normal(0.0, 0.02, size=(3, 200)))
    norms[:, :30] *= 4.0
    lost = norms.copy()
    lost[:, :25] = np.inf
    lost[1, 100] = np.nan
    filled, notes = without_gaps(lost)
    assert filled[:, :25].min() > 3.0
    assert filled[1, 100] == pytest.approx(np.sqrt(norms[1, 99] * norms[1, 101]))
    assert "76 norms were not finite" in notes[0]
    steps, whole = (li.refine(np.exp(np.log(part).mean(axis=0)), rule="sgd").steps for part in (filled, norms))
    np.testing.assert_allclose(steps[:25], whole[:25], rtol=0.15)
    same, nothing = without_gaps(norms)
    np.testing.assert_array_equal(same, norms)
    assert nothing == []
    assert without_gaps(np.full((2, 3), np.inf))[0].size == 0


class WithoutDouble(TorchFunctionMode):
    """Every tensor is on a device without float64, until it is brought to the host."""

    def __init__(self):
        super().__init__()
        self.on_host = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is Tensor.cpu:
            self.on_host.append(function(*args))
            return self.on_host[-1]
        if function is Tensor.double or (function is Tensor.to and torch.float64 in args):
            assert any(args[0] is known for known in self.on_host), "this device has no float64"
        return function(*args, **(kwargs or {}))


def test_nothing_becomes_double_on_the_device(mlp):
    with WithoutDouble() as mode:
        train(mlp, np.ones(3), 0.1)
    assert mode.on_host


def test_the_first_process_is_asked_for_the_time_now_and_then(mlp, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(training, "world", lambda: (0, 2))
    monkeypatch.setattr(training, "of_first", lambda value: asked.append(value) or value)
    train(mlp, np.ones(120), 0.01, checkpoint=tmp_path / "run.pt")
    assert len(asked) == 4  # at steps 0, 50 and 100, and once for the evaluation


def test_every_process_resumes_its_own_random_numbers(tmp_path):
    """Dropout of torch in two processes: interrupted and resumed is bitwise equal to uninterrupted."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(WORKER)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path), "dropout"], capture_output=True, text=True, env=environ, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in (0, 1):
        masks = dict(np.load(tmp_path / f"masks{rank}.npz"))
        np.testing.assert_array_equal(masks["resumed"], masks["whole"])
    np.testing.assert_array_equal(masks["resumed losses"], masks["whole losses"])
    other = dict(np.load(tmp_path / "masks0.npz"))
    assert not np.array_equal(masks["resumed"], other["resumed"])


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_batches_come_in_order_and_page_locked_for_cuda(mlp, monkeypatch, kind):
    locked = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda this: locked.append(this) or this)
    got = list(upcoming(mlp, 3, range(2, 9), torch.device(kind)))
    assert len(locked) == (14 if kind == "cuda" else 0)
    for step, (count, batch) in zip(range(2, 9), got, strict=True):
        assert count == 32
        assert all(torch.equal(a, b) for a, b in zip(batch, mlp.batch(3, step), strict=True))


def test_batches_are_made_ahead_of_an_accelerator_and_errors_come_through(mlp):
    made, second = [], threading.Event()

    def batch(seed, step):
        made.append(step)
        if step == 2:
            second.set()
        if step == 5:
            raise InputError("data", "a file", "that can be read")
        return mlp.batch(seed, step)

    stream = upcoming(Wrapped(mlp, batch=batch), 0, range(10), torch.device("mps"))
    next(stream)
    assert second.wait(60.0)  # batch 2 is made while step 0 computes
    assert max(made) == 2
    for _ in range(4):
        next(stream)
    assert made[:5] == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="a file"):
        next(stream)
    assert max(made) < 10
    early = upcoming(mlp, 0, range(1000), torch.device("mps"))
    next(early)
    early.close()


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two CUDA devices, as far as its names go."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_name", lambda device=None: f"GPU {torch.device(device or 'cuda:0').index}"
    )
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.mark.usefixtures("gpus")
def test_provenance_names_the_device_that_was_used_and_its_rounding(monkeypatch):
    found = provenance(TrainingSettings(device="cuda:1"), seeds=[0], seconds=1.0)
    assert found["device"] == "GPU 1"
    assert found["tf32"] == {"products": False, "convolutions": True}
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert provenance(TrainingSettings(device="cuda"), seeds=[0], seconds=1.0)["device"] == "GPU 1"
    here = provenance(TrainingSettings(), seeds=[0], seconds=1.0)
    assert (here["device"], here["tf32"]) == ("cpu", None)


@pytest.mark.usefixtures("gpus")
def test_cublas_is_told_before_it_is_used_or_the_settings_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    TrainingSettings(device="cuda:0")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ""
    TrainingSettings(device="cuda:0", deterministic=True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    environment.reserve_workspace(torch.device("cuda:0"))  # it is there already
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    with pytest.raises(InputError, match=r"deterministic.*before the device is used"):
        TrainingSettings(device="cuda:0", deterministic=True)
    TrainingSettings(deterministic=True)  # the CPU needs none of it


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("device", "ids"), [("cuda:1", [1]), ("cuda", [0]), ("cpu", None), ("mps", None)])
def test_a_replica_stays_on_its_device(monkeypatch, device, ids):
    seen = []
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda model, device_ids: seen.append(device_ids))
    distributed.replicate(torch.nn.Linear(1, 1), torch.device(device))
    assert seen == [ids]


def test_a_process_on_its_own_trains_the_model_itself():
    model = torch.nn.Linear(1, 1)
    assert distributed.replicate(model, torch.device("cpu")) is model
