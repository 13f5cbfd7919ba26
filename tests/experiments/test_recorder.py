"""Recorded gradient norms against norms of the flattened gradient, in every way of training."""

import numpy as np
import pytest
import torch

from lastiterate.experiments.logs.norms import read_norms
from lastiterate.experiments.training import recorder as recorder_module
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.theory.base.validation import InputError


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))


def batches(n=6):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 5, generator=generator) for _ in range(n)]


def literal(model):
    flat = np.concatenate([p.grad.double().numpy().ravel() for p in model.parameters() if p.grad is not None])
    return np.abs(flat).sum(), np.sqrt(np.square(flat).sum())


@pytest.mark.parametrize("every", [1, 2, 1000])
@pytest.mark.parametrize("flatten", [0, 10**6])
def test_norms_vs_flattened_gradient(monkeypatch, every, flatten):
    monkeypatch.setattr(recorder_module, "_FLATTEN", flatten)
    model = network()
    recorder = GradNormRecorder(model, every=every)
    expected = []
    for batch in batches():
        model.zero_grad()
        model(batch).square().mean().backward()
        recorder()
        expected.append(literal(model))
    np.testing.assert_allclose(np.stack([recorder.l1, recorder.l2], axis=1), expected, rtol=1e-5)
    assert len(recorder) == 6


def test_norms_are_taken_before_clipping():
    model = network()
    recorder = GradNormRecorder(model)
    model(batches(1)[0]).square().sum().backward()
    recorder()
    total = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    assert recorder.l2[0] == pytest.approx(float(total), rel=1e-6)


def test_groups_of_an_optimizer():
    model = network()
    optimizer = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    recorder = GradNormRecorder(optimizer, per_group=True)
    model(batches(1)[0]).square().sum().backward()
    recorder()
    groups = recorder.groups
    assert groups["l1"].shape == (1, 2)
    for column, layer in enumerate((model[0], model[2])):
        np.testing.assert_allclose([groups["l1"][0, column], groups["l2"][0, column]], literal(layer), rtol=1e-5)
    np.testing.assert_allclose([recorder.l1[0], recorder.l2[0]], literal(model), rtol=1e-5)


@pytest.mark.parametrize("unscaled_before", [False, True])
def test_gradient_scaler(unscaled_before):
    model, plain = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    recorder = GradNormRecorder(optimizer, scaler=scaler)
    for batch in batches():
        optimizer.zero_grad()
        plain.load_state_dict(model.state_dict())
        plain.zero_grad()
        plain(batch).square().mean().backward()
        scaler.scale(model(batch).square().mean()).backward()
        if unscaled_before:
            scaler.unscale_(optimizer)
        recorder()
        np.testing.assert_allclose([recorder.l1[-1], recorder.l2[-1]], literal(plain), rtol=1e-5)
        scaler.step(optimizer)
        scaler.update()


def test_accumulated_gradient_is_the_gradient_of_the_whole_batch():
    model, whole = network(), network()
    recorder = GradNormRecorder(model)
    batch = torch.cat(batches())
    whole(batch).square().mean().backward()
    for part in batch.chunk(3):
        (model(part).square().mean() / 3).backward()
    recorder()
    np.testing.assert_allclose([recorder.l1[0], recorder.l2[0]], literal(whole), rtol=1e-5)


def test_half_precision_gradients_do_not_overflow():
    parameter = torch.nn.Parameter(torch.zeros(1000, dtype=torch.float16))
    parameter.grad = torch.full((1000,), 300.0, dtype=torch.float16)
    recorder = GradNormRecorder(torch.optim.SGD([parameter], lr=0.1))
    recorder()
    assert recorder.l1[0] == pytest.approx(300_000.0)
    assert recorder.l2[0] == pytest.approx(300.0 * 1000**0.5)


def test_missing_sparse_and_no_gradients():
    embedding = torch.nn.Embedding(10, 3, sparse=True)
    unused = torch.nn.Parameter(torch.zeros(2))
    recorder = GradNormRecorder(torch.optim.SGD([embedding.weight, unused], lr=0.1))
    recorder()
    embedding(torch.tensor([1, 1, 4])).sum().backward()
    recorder()
    # row 1 is looked up twice
    assert recorder.l1.tolist() == [0.0, 3 * 2.0 + 3 * 1.0]
    assert recorder.l2[1] == pytest.approx((3 * 4.0 + 3 * 1.0) ** 0.5)


def test_saved_norms_are_read_back(tmp_path):
    model = network()
    recorder = GradNormRecorder(model)
    for batch in batches():
        model.zero_grad()
        model(batch).square().mean().backward()
        recorder()
    file = recorder.save(tmp_path / "norms.csv")
    np.testing.assert_array_equal(read_norms(file, column="grad_norm_l1").norms, recorder.l1)
    np.testing.assert_array_equal(read_norms(file, column="grad_norm_l2").norms, recorder.l2)


def test_state_round_trip():
    model = network()
    first, second = GradNormRecorder(model), GradNormRecorder(model)
    model(batches(1)[0]).square().mean().backward()
    first()
    second.load_state_dict(first.state_dict())
    first()
    second()
    np.testing.assert_array_equal(first.l1, second.l1)


@pytest.mark.slow  # needs a C++ compiler and compiles for seconds
def test_compiled_model():
    model, plain = network(), network()
    compiled = torch.compile(model, backend="aot_eager")
    recorder = GradNormRecorder(compiled)
    compiled(batches(1)[0]).square().mean().backward()
    plain(batches(1)[0]).square().mean().backward()
    recorder()
    np.testing.assert_allclose([recorder.l1[0], recorder.l2[0]], literal(plain), rtol=1e-5)


def test_bad_input():
    with pytest.raises(InputError, match=r"source.*list"):
        GradNormRecorder([torch.zeros(1)])
    with pytest.raises(InputError, match="per_group"):
        GradNormRecorder(network(), per_group=True)
    with pytest.raises(InputError, match="every"):
        GradNormRecorder(network(), every=0)


@pytest.mark.gpu
def test_no_synchronisation_between_transfers():
    device = torch.device("cuda")
    model = network().to(device)
    recorder = GradNormRecorder(model)
    model(batches(1)[0].to(device)).square().mean().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            recorder()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(recorder) == 3
