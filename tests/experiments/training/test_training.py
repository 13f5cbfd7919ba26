"""Training runs: definition, seeds, resumption, parts of batches, processes, and what may go wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lastiterate as li
from lastiterate.experiments.training.checkpoints import load_checkpoint, save_checkpoint
from lastiterate.experiments.training.train import StandstillWarning, TrainingSettings, train
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError

WORKER = Path(__file__).with_name("distributed_worker.py")


@pytest.fixture(scope="module")
def mlp():
    return load_workload("digits_mlp")


def equal(first, second):
    return first.final == second.final and all(
        np.array_equal(getattr(first, key), getattr(second, key)) for key in ("losses", "l1", "l2")
    )


def test_training_vs_a_plain_loop(mlp):
    steps = li.schedules.cosine(30)
    run = train(mlp, steps, 0.1, 7)
    torch.manual_seed(7)
    model = mlp.build_model()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses, l1, l2 = [], [], []
    for k in range(30):
        optimizer.param_groups[0]["lr"] = 0.1 * steps[k]
        optimizer.zero_grad()
        inputs, labels = mlp.batch(7, k)
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
        losses.append(loss.item())
        l1.append(flat.abs().sum().item())
        l2.append(flat.norm().item())
        optimizer.step()
    torch.set_num_threads(threads)
    np.testing.assert_allclose(run.losses, losses, rtol=1e-6)
    np.testing.assert_allclose(run.l1, l1, rtol=1e-5)
    np.testing.assert_allclose(run.l2, l2, rtol=1e-5)
    assert run.final == pytest.approx(mlp.evaluate(model), rel=1e-6)


def test_same_seed_same_bits_and_another_seed_other_bits(mlp):
    steps = li.schedules.linear(20)
    first = train(mlp, steps, 0.1, 0)
    torch.rand(5)
    assert equal(first, train(mlp, steps, 0.1, 0))
    assert not equal(first, train(mlp, steps, 0.1, 1))


def test_generators_and_threads_are_put_back(mlp):
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(mlp, [1.0, 0.5], 0.1, 0, settings=TrainingSettings(deterministic=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9", "adamw", "prodigy", "momo"])
@pytest.mark.parametrize("stop", [1, 13, 50])
def test_resumed_run_is_bitwise_equal(mlp, tmp_path, optimizer, stop):
    if optimizer in ("prodigy", "momo"):
        pytest.importorskip({"prodigy": "prodigyopt", "momo": "momo"}[optimizer])
    steps = li.schedules.wsd(60)
    whole = train(mlp, steps, 0.05, 2, optimizer=optimizer)
    file = tmp_path / "run.pt"
    interrupted = train(mlp, steps, 0.05, 2, optimizer=optimizer, checkpoint=file, stop_after=stop)
    assert interrupted.losses.size == stop
    torch.load(file, weights_only=True)
    assert equal(whole, train(mlp, steps, 0.05, 2, optimizer=optimizer, checkpoint=file))
    # the finished run left a checkpoint too, from which nothing is trained again
    assert equal(whole, train(mlp, steps, 0.05, 2, optimizer=optimizer, checkpoint=file))


class Noisy:
    """The digits MLP with dropout: its bits depend on torch's generator."""

    def __init__(self, inner):
        self.inner = inner
        self.name = "noisy"

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def build_model(self):
        return torch.nn.Sequential(torch.nn.Dropout(0.3), self.inner.build_model())


def test_resumed_run_continues_the_random_numbers(mlp, tmp_path):
    steps = li.schedules.linear(30)
    whole = train(Noisy(mlp), steps, 0.05)
    train(Noisy(mlp), steps, 0.05, checkpoint=tmp_path / "run.pt", stop_after=11)
    torch.rand(100)
    assert equal(whole, train(Noisy(mlp), steps, 0.05, checkpoint=tmp_path / "run.pt"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"base_lr": 0.2}, "base_lr = 0.2.*base_lr = 0.1"),
        ({"seed": 1}, "seed = 1.*seed = 0"),
        ({"optimizer": "adam"}, "optimizer = 'adam'.*optimizer = 'sgd"),
        ({"steps": [1.0, 0.5]}, "n_steps = 2.*n_steps = 4"),
        ({"steps": [1.0, 0.5, 0.5, 0.5]}, "schedule"),
        ({"settings": TrainingSettings(clip=1.0)}, "settings.clip = 1.0.*settings.clip = None"),
    ],
)
def test_checkpoint_of_another_configuration_names_the_first_difference(mlp, tmp_path, change, named):
    given = {"steps": [1.0, 0.75, 0.5, 0.25], "base_lr": 0.1, "seed": 0}
    train(mlp, **given, checkpoint=tmp_path / "run.pt", stop_after=2)
    with pytest.raises(InputError, match=named):
        train(mlp, **{**given, **change}, checkpoint=tmp_path / "run.pt")


def test_broken_checkpoint(mlp, tmp_path):
    (tmp_path / "run.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="a checkpoint of this program"):
        train(mlp, [1.0], 0.1, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize("n_mutations", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_damaged_checkpoint_is_never_resumed(tmp_path, n_mutations):
    file, configuration = tmp_path / "run.pt", {"seed": 1}
    save_checkpoint(file, configuration, {"weights": torch.arange(50.0), "step": 7})
    content = file.read_bytes()
    assert torch.load(file, weights_only=True)["state"]["step"] == 7  # torch passes over the seal
    assert load_checkpoint(file, configuration)["step"] == 7
    rng = np.random.default_rng(0)
    for _ in range(n_mutations):
        damaged = bytearray(content)
        at = int(rng.integers(len(content)))
        if rng.integers(2):
            damaged[at] ^= 1 << int(rng.integers(8))
        else:
            del damaged[at:]
        file.write_bytes(bytes(damaged))
        with pytest.raises(InputError, match="checkpoint"):
            load_checkpoint(file, configuration)


def test_a_pipe_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="checkpoint"):
        load_checkpoint(tmp_path / "pipe", {})


@pytest.mark.parametrize("parts", [2, 5])
def test_accumulation_vs_whole_batch(mlp, parts):
    steps = li.schedules.linear(20)
    whole = train(mlp, steps, 0.05)
    divided = train(mlp, steps, 0.05, settings=TrainingSettings(accumulate=parts))
    np.testing.assert_allclose(divided.losses, whole.losses, rtol=1e-4)
    np.testing.assert_allclose(divided.l2, whole.l2, rtol=1e-4)


def test_clipping_bounds_the_step_and_not_the_record(mlp):
    free = train(mlp, [1.0] * 5, 0.01, optimizer="sgd")
    clipped = train(mlp, [1.0] * 5, 0.01, optimizer="sgd", settings=TrainingSettings(clip=1e-6))
    assert clipped.l2[0] == free.l2[0] > 0.1
    assert clipped.final["loss"] > free.final["loss"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_stays_near_full_precision(mlp, precision):
    steps = li.schedules.linear(100)
    full = train(mlp, steps, 0.05)
    mixed = train(mlp, steps, 0.05, settings=TrainingSettings(precision=precision))
    assert mixed.final["loss"] == pytest.approx(full.final["loss"], rel=0.1)
    assert mixed.l2[0] == pytest.approx(full.l2[0], rel=0.02)


def test_diverged_run_is_recorded_with_its_step():
    class Exploding(Noisy):
        def loss(self, model, batch):
            return self.inner.loss(model, batch).square().square()

    run = train(Exploding(load_workload("digits_logistic")), np.ones(200), 1e4)
    assert run.diverged_at is not None
    assert 0 < run.diverged_at < 200
    assert run.final == {}
    assert run.losses.size == run.l1.size == run.diverged_at
    assert np.isfinite(run.losses).all()


def test_not_a_number_at_once():
    class Broken(Noisy):
        def loss(self, model, batch):
            return self.inner.loss(model, batch) * float("nan")

    run = train(Broken(load_workload("digits_logistic")), np.ones(10), 0.1)
    assert run.diverged_at == 0
    assert run.losses.size == 0


def test_two_processes_vs_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(WORKER)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = tmp_path / "alone"
    alone.mkdir()
    subprocess.run([sys.executable, str(WORKER), str(alone)], env=environment, timeout=300, check=True)
    one = dict(np.load(alone / "rank0.npz"))
    first, second = (dict(np.load(tmp_path / f"rank{rank}.npz")) for rank in (0, 1))
    for name, values in one.items():
        np.testing.assert_allclose(first[name], values, rtol=2e-4, err_msg=name)
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"device": "cuda:99"}, "device.*cuda:99"),
        ({"device": "abacus"}, "device.*abacus"),
        ({"precision": "int8"}, "precision.*int8"),
        ({"clip": 0.0}, "clip"),
        ({"accumulate": 0}, "accumulate"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_settings(given, named):
    with pytest.raises(InputError, match=named):
        TrainingSettings(**given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent():
    with pytest.raises(InputError, match="finds no CUDA device"):
        TrainingSettings(device="cuda")


def test_more_parts_than_examples(mlp):
    with pytest.raises(InputError, match="33 parts of a batch of 32"):
        train(mlp, [1.0], 0.1, settings=TrainingSettings(accumulate=33))


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"precision": "fp16"}, {"compile": True}])
def test_cuda_run_is_near_the_cpu_run(mlp, settings):
    steps = li.schedules.linear(50)
    here = train(mlp, steps, 0.05)
    there = train(mlp, steps, 0.05, settings=TrainingSettings(device="cuda", **settings))
    assert there.final["loss"] == pytest.approx(here.final["loss"], rel=0.1)


def test_an_optimizer_that_does_not_train_says_so(mlp):
    with pytest.warns(StandstillWarning, match="sgd.* at base learning rate 1e-30 moved no parameter in 5 steps"):
        train(mlp, np.ones(5), 1e-30, optimizer="sgd")
    train(mlp, np.zeros(5), 0.1, optimizer="sgd")  # nothing was asked for
