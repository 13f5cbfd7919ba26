"""Gradient and noise told apart, on random vectors, through torch, and through a file."""

import numpy as np
import pytest
import torch

from lastiterate.experiments.logs.noise import estimate_noise, read_noise
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.theory.base.validation import InputError


def test_estimates_vs_known_gradient_and_variance():
    rng = np.random.default_rng(0)
    n, dimension, batch, micro = 4000, 30, 12, 3
    mean, spread = np.linspace(0.05, 0.2, dimension), 1.5
    each = mean + spread * rng.standard_normal((n, batch, dimension))
    whole, part = (np.linalg.norm(each[:, :size].mean(axis=1), axis=1) for size in (batch, micro))
    found = estimate_noise(whole, part, batch, micro, smoothing=1.0)
    middle = n // 2
    assert found.norms[middle] == pytest.approx(np.linalg.norm(mean), rel=0.08)  # three standard errors
    assert found.noise[middle] == pytest.approx(spread * dimension**0.5, rel=0.02)
    assert found.batch == batch


def recorded(n_steps, micro_batches=4, size=8):
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 1)
    inputs = torch.randn(400, 6)
    targets = inputs @ torch.ones(6, 1) + 0.5 * torch.randn(400, 1)
    recorder = GradNormRecorder(model, batch=micro_batches * size, micro_batch=size)
    generator = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        model.zero_grad()
        for part in range(micro_batches):
            rows = torch.randint(400, (size,), generator=generator)
            ((model(inputs[rows]) - targets[rows]).square().mean() / micro_batches).backward()
            if part == 0:
                recorder.first()
        recorder()
    model.zero_grad()
    each = []
    for row in range(400):
        model.zero_grad()
        (model(inputs[row : row + 1]) - targets[row : row + 1]).square().mean().backward()
        each.append(np.concatenate([p.grad.numpy().ravel() for p in model.parameters()]))
    return recorder, np.array(each, dtype=np.float64)


def test_recorder_through_a_file_vs_gradients_of_every_sample(tmp_path):
    recorder, each = recorded(1500)
    found = read_noise(recorder.save(tmp_path / "log.csv"), smoothing=1.0)
    mean = each.mean(axis=0)
    assert found.batch == 32
    assert found.norms[750] == pytest.approx(np.linalg.norm(mean), rel=0.03)
    assert found.noise[750] == pytest.approx(np.sqrt(np.square(each - mean).sum(axis=1).mean()), rel=0.05)


def test_first_norm_vs_gradient_of_the_micro_batch():
    parameter = torch.nn.Parameter(torch.zeros(2))
    recorder = GradNormRecorder(torch.optim.SGD([parameter], lr=0.1), batch=6, micro_batch=2)
    for part, gradient in enumerate(([3.0, 4.0], [1.0, 0.0], [0.0, 2.0])):
        (parameter @ torch.tensor(gradient) / 3.0).backward()
        if part == 0:
            recorder.first()
    recorder()
    assert recorder.first_l2[0] == pytest.approx(5.0, rel=1e-6)
    assert recorder.l2[0] == pytest.approx(np.hypot(4.0, 6.0) / 3.0, rel=1e-6)
    again = GradNormRecorder(torch.optim.SGD([parameter], lr=0.1), batch=6, micro_batch=2)
    again.load_state_dict(recorder.state_dict())
    np.testing.assert_array_equal(again.first_l2, recorder.first_l2)


@pytest.mark.parametrize("scale", [1.0, 256.0])
def test_micro_batches_under_a_gradient_scaler(scale):
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    recorder = GradNormRecorder(optimizer, scaler=scaler, batch=2, micro_batch=1)
    scaler.scale(parameter @ torch.tensor([3.0, 4.0]) / 2.0).backward()
    recorder.first()
    scaler.scale(parameter @ torch.tensor([3.0, 4.0]) / 2.0).backward()
    scaler.unscale_(optimizer)
    recorder()
    assert recorder.first_l2[0] == recorder.l2[0] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"first_norms": [1.0]}, "first_norms"),
        ({"norms": [1.0, 0.0]}, "norms"),
        ({"micro_batch": 4}, "micro_batch"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"batch": -1}, "batch"),
        ({"smoothing": 2.0}, "smoothing"),
        ({"first_norms": [9.0, 9.0]}, "smoothing"),
        ({"first_norms": [0.5, 0.5]}, "smoothing"),
    ],
)
def test_bad_estimates_are_named(changes, name):
    arguments = {"norms": [1.0, 1.0], "first_norms": [1.2, 1.2], "batch": 4, "micro_batch": 2} | changes
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        estimate_noise(**arguments)


def test_bad_recorders_and_logs_are_named(tmp_path):
    model = torch.nn.Linear(1, 1)
    for sizes, name in (({"batch": 4}, "micro_batch"), ({"batch": 2, "micro_batch": 2}, "batch")):
        with pytest.raises(InputError, match=rf"^{name}:"):
            GradNormRecorder(model, **sizes)
    with pytest.raises(InputError, match="micro_batch"):
        GradNormRecorder(model).first()
    with pytest.raises(InputError, match="micro_batch"):
        _ = GradNormRecorder(model).first_l2
    with pytest.raises(InputError, match=r"^first:"):
        GradNormRecorder(model, batch=2, micro_batch=1)()
    log = tmp_path / "log.csv"
    log.write_text("step,grad_norm_l2,grad_norm_first,batch\n0,1.0,1.2,4\n1,1.0,1.2,8\n")
    with pytest.raises(InputError, match=r"^batch:.*one size"):
        read_noise(log)
    with pytest.raises(InputError, match=r"^micro_batch:.*no column"):
        read_noise(log, batch=4)
    log.write_text("step,loss\n0,1.0\n1,1.0\n")
    with pytest.raises(InputError, match=r"^column:"):
        read_noise(log)
