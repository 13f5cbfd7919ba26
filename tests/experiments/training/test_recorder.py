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


def step(recorder, model, batch):
    model.zero_grad()
    model(batch).square().mean().backward()
    recorder()


def test_an_empty_recorder_is_true_and_shows_its_length():
    model = network()
    recorder = GradNormRecorder(model)
    assert recorder
    assert len(recorder) == 0
    assert recorder.summary()["steps"] == 0
    step(recorder, model, batches(1)[0])
    assert repr(recorder) == "GradNormRecorder(1 steps of Sequential)"


def test_parameters_and_groups_that_are_added_later_count():
    first, second = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([first], lr=0.1)
    each, all_together = GradNormRecorder(optimizer, per_group=True), GradNormRecorder(optimizer)
    first.grad = torch.tensor([3.0, 0.0])
    each(), all_together()
    optimizer.add_param_group({"params": [second]})
    second.grad = torch.tensor([0.0, 4.0])
    each(), all_together()
    assert each.groups["l2"].tolist() == [[3.0, 0.0], [3.0, 4.0]]
    assert each.l2.tolist() == all_together.l2.tolist() == [3.0, 5.0]
    module = torch.nn.Module()
    recorder = GradNormRecorder(module)
    recorder()
    module.register_parameter("late", first)
    recorder()
    assert recorder.l2.tolist() == [0.0, 3.0]


@pytest.mark.parametrize("unscaled", [False, True])
def test_a_module_as_source_is_divided_by_the_scale_once(unscaled):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    recorder = GradNormRecorder(model, scaler=scaler)
    for batch in batches(3):
        optimizer.zero_grad()
        scaler.scale(model(batch).square().mean()).backward()
        if unscaled:
            scaler.unscale_(optimizer)
        recorder()
        if not unscaled:
            scaler.unscale_(optimizer)
        np.testing.assert_allclose([recorder.l1[-1], recorder.l2[-1]], literal(model), rtol=1e-5)
        scaler.step(optimizer)
        scaler.update()


def test_a_module_under_two_optimizers_of_one_scaler_is_refused():
    model = network()
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (model[0], model[2])]
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    recorder, other = GradNormRecorder(model, scaler=scaler), GradNormRecorder(optimizers[1], scaler=scaler)
    scaler.scale(model(batches(1)[0]).square().mean()).backward()
    scaler._per_optimizer_states[id(optimizers[1])]["stage"]
    scaler.unscale_(optimizers[0])
    with pytest.raises(InputError, match="the optimizer in place"):
        recorder()
    other()
    scaler.unscale_(optimizers[1])
    np.testing.assert_allclose(other.l2, literal(model[2])[1], rtol=1e-5)


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_a_file_grows_through_a_crash_and_a_resume(tmp_path, every):
    model, file = network(), tmp_path / "runs" / "norms.csv"
    whole, first = GradNormRecorder(model), GradNormRecorder(model, every=every)
    for batch in batches(6):
        step(first, model, batch)
        whole()
        first.append_to(file)
    with file.open("a") as handle:
        handle.write("6,1.25")  # killed in the middle of a line
    second = GradNormRecorder(model, every=every)
    assert second.resume(file, 4)
    for batch in batches(6)[4:]:
        step(second, model, batch)
        second.append_to(file)
    np.testing.assert_array_equal(second.steps, np.arange(6))
    log = read_norms(file, column="grad_norm_l2")
    np.testing.assert_allclose(log.norms, whole.l2, rtol=1e-12)
    third = GradNormRecorder(model)
    third.load_state_dict(second.state_dict())
    np.testing.assert_array_equal(third.steps, second.steps)
    assert not third.resume(tmp_path / "none.csv", 7)
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(InputError, match="columns"):
        third.resume(tmp_path / "other.csv", 1)


def test_summary_counts_what_cannot_be_used():
    parameter = torch.nn.Parameter(torch.zeros(2))
    recorder = GradNormRecorder(torch.optim.SGD([parameter], lr=0.1))
    for gradient in ([3.0, 4.0], [float("nan"), 0.0], [0.0, 0.0], [0.0, 2.0]):
        parameter.grad = torch.tensor(gradient)
        recorder()
    found = recorder.summary()
    assert (found["steps"], found["unusable"]) == (4, 2)
    assert (found["l1_max"], found["l2_min"], found["l2_median"]) == (7.0, 2.0, 3.5)


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
