"""Dry runs on fake tensors against hand counts and real runs: placement, memory, arithmetic, every optimizer."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from lastiterate.experiments.training.footprint import READ_VALUES, footprint, state_bytes, trace
from lastiterate.experiments.training.optimizers import OPTIMIZERS, make_optimizer, step_arguments
from lastiterate.experiments.workloads.outline import Outline, RandomBatches, outline
from lastiterate.experiments.workloads.protocol import known_workloads, load_workload
from lastiterate.theory.base.validation import InputError


def test_a_perceptron_vs_counting_by_hand():
    """64-w-w-10 on 32 rows: two products a layer backward, one fewer in the first, whose input has no gradient."""
    width, rows = 48, 32
    cost = footprint(outline(f"digits_mlp:width={width}"), "momentum")
    count = 64 * width + width + width * width + width + 10 * width + 10
    assert cost.n_parameters == count
    assert cost.weights == cost.gradients == cost.state == 4 * count
    assert cost.flops == 2 * rows * (2 * 64 * width + 3 * width * width + 3 * 10 * width)
    # inputs, two ReLU outputs, log-probabilities, labels in int64, and the sum of weights of the mean
    saved = 4 * rows * (64 + 2 * width + 10) + 8 * rows
    assert saved <= cost.activations <= saved + 8
    assert cost.memory == 3 * 4 * count + cost.activations


def test_saved_activations_vs_a_real_run():
    """The same storages are saved on the CPU with values."""
    workload = load_workload("residual_net")
    torch.manual_seed(0)
    model, batch = workload.build_model(), workload.batch(0, 0)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        workload.loss(model, batch).backward()
    real = sum(storage.nbytes() for storage in saved.values())
    assert trace(outline("residual_net")).activations == pytest.approx(real, rel=0.02)


def test_parts_of_a_batch_divide_activations_and_not_arithmetic():
    whole, parts = (trace(outline("language_model"), accumulate=n) for n in (1, 4))
    assert parts.flops == whole.flops
    assert parts.activations == pytest.approx(whole.activations / 4, rel=0.02)
    with pytest.raises(InputError, match="at most the 16 examples"):
        trace(outline("language_model"), accumulate=17)


@pytest.fixture(scope="module")
def traced():
    return trace(outline("digits_mlp"))


def real_state(spec):
    """Bytes of an optimizer's state after two real steps, from its tensors."""
    workload = load_workload("digits_mlp")
    torch.manual_seed(0)
    model = workload.build_model()
    optimizer = make_optimizer(spec, model.parameters())
    for step in range(2):
        optimizer.zero_grad()
        loss = workload.loss(model, workload.batch(0, step))
        loss.backward()
        optimizer.step(**step_arguments(optimizer, loss))
    found, todo = {}, list(optimizer.state.values())
    while todo:
        value = todo.pop()
        if isinstance(value, torch.Tensor):
            found[id(value)] = value.numel() * value.element_size()
        elif isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, list | tuple):
            todo.extend(value)
    return sum(found.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_every_optimizer_vs_a_real_run(traced, name):
    try:
        real = real_state(name)
    except InputError:  # an optimizer that does not take such parameters is refused before it costs anything
        with pytest.raises(InputError):
            state_bytes(traced, name)
        return
    counted, scaled = state_bytes(traced, name)
    assert counted == real
    assert scaled or not name.startswith(READ_VALUES)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_the_small_copy_counts_as_the_fake_step_does(traced, name, monkeypatch):
    from lastiterate.experiments.training import footprint as module

    fake, _ = state_bytes(traced, name)
    monkeypatch.setattr(module, "READ_VALUES", (name,))
    assert state_bytes(traced, name) == (fake, True)


class Planted(nn.Module):
    """A linear layer with a tensor that stays on the CPU: a plain attribute, or one made in forward."""

    def __init__(self, where):
        super().__init__()
        self.layer, self.where = nn.Linear(4, 2), where
        if where == "buffer":
            self.register_buffer("shift", torch.ones(2))
        else:
            self.shift = torch.ones(2)

    def forward(self, values):
        shift = torch.ones(2) if self.where == "forward" else self.shift
        if self.where == "right":
            shift = torch.ones(2, device=values.device)
        return self.layer(values) + shift


class Little:
    """A workload around a model and a loss."""

    name, n_steps, optimizer, base_lrs, metric, higher_is_better = "little", 5, "sgd", (0.1,), "loss", False

    def __init__(self, model, loss=None):
        self.build_model = model
        self.loss = loss or (lambda model, batch: model(batch[0]).square().mean())

    def batch(self, seed, step):
        generator = torch.Generator().manual_seed(1000 * seed + step)
        return (torch.randn(6, 4, generator=generator),)

    def evaluate(self, model):
        return {"loss": 0.0}


@pytest.mark.parametrize("where", ["attribute", "forward", "loss"])
def test_a_tensor_planted_on_the_wrong_device_fails(where):
    target = torch.zeros(6, 2)
    loss = (lambda model, batch: (model(batch[0]) - target).square().mean()) if where == "loss" else None
    workload = Little(lambda: Planted("buffer" if where == "loss" else where), loss)
    with pytest.raises(InputError, match=r"on the device of the model, got little .*(meta and cpu|cpu and meta)"):
        footprint(outline(workload))


@pytest.mark.parametrize("where", ["buffer", "right"])
def test_a_tensor_on_the_device_of_the_model_passes(where):
    assert footprint(outline(Little(lambda: Planted(where)))).n_parameters == 10


def test_state_on_the_wrong_device_fails(monkeypatch):
    class Stray(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["stray"] = torch.zeros(p.shape)

    info = OPTIMIZERS["sgd"]
    monkeypatch.setitem(OPTIMIZERS, "sgd", replace(info, build=Stray))
    with pytest.raises(InputError, match=r"optimizer.*state on cpu"):
        footprint(outline("digits_logistic"), "sgd")


def test_a_loss_that_reads_values_is_named():
    def loss(model, batch):
        value = model(batch[0]).square().mean()
        return value * 2 if value > 1 else value

    with pytest.raises(InputError, match=r"little .*reads a value"):
        footprint(outline(Little(lambda: Planted("buffer"), loss)))


@pytest.mark.parametrize("name", known_workloads())
def test_stated_shapes_are_those_of_a_batch(name):
    """Shapes, types and bounds of the tiny size, and a model and a loss that take random batches of them."""
    stated, workload = outline(name), load_workload(name)
    assert isinstance(stated, Outline)
    batch = workload.batch(0, 0)
    assert [(tuple(part.shape), str(part.dtype)) for part in batch] == [
        (column.shape, f"torch.{column.dtype}") for column in stated.shapes
    ]
    for part, column in zip(batch, stated.shapes, strict=True):
        if not part.is_floating_point():
            assert 0 <= int(part.min()) <= int(part.max()) < column.below
    for member in ("name", "n_steps", "optimizer", "base_lrs", "metric", "higher_is_better"):
        assert getattr(stated.workload, member) == getattr(workload, member)
    torch.manual_seed(0)
    ours = [tuple(p.shape) for p in stated.workload.build_model().parameters()]
    assert ours == [tuple(p.shape) for p in workload.build_model().parameters()]
    random = RandomBatches(stated)
    model = random.build_model()
    assert math.isfinite(float(random.loss(model, random.batch(0, 1)).detach()))
    assert math.isfinite(random.evaluate(model)[workload.metric])


@pytest.mark.slow
@pytest.mark.parametrize("name", known_workloads())
def test_full_sizes_with_sgd_and_adamw(name):
    traced = trace(outline(name, size="full"))
    plain, adaptive = (state_bytes(traced, spec)[0] for spec in ("sgd", "adamw"))
    count = sum(p.numel() for p in traced.model.parameters())
    scalars = 4 * len(list(traced.model.parameters()))
    assert plain == 0
    assert adaptive == 8 * count + scalars
    assert traced.activations > 0
    assert traced.flops > 0 or name == "linear_regression"


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["digits_logistic", "digits_mlp", "seq2seq", "linear_regression", "logistic_suite"])
def test_full_shapes_are_those_of_a_batch(spec):
    """Of the workloads whose full data are made at once."""
    stated, batch = outline(spec, size="full").shapes, load_workload(spec, size="full").batch(0, 0)
    assert [column.shape for column in stated] == [tuple(part.shape) for part in batch]


def test_sizes_of_the_networks_that_the_full_workloads_stand_for():
    """ResNet-50 has 25.6 million parameters (He et al., 2015, torchvision's table); group norms have as many."""
    assert footprint(outline("image_folder", size="full")).n_parameters == 25_557_032
