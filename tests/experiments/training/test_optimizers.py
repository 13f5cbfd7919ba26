"""Every optimizer by name: it learns, resumes exactly, survives zero steps, and is what its equations say."""

import io
import sys

import numpy as np
import pytest
import torch

from lastiterate.experiments.training.conventions import GradientWarning
from lastiterate.experiments.training.extras import MissingExtraError
from lastiterate.experiments.training.gradagrad import GradaGrad
from lastiterate.experiments.training.mda import MDA
from lastiterate.experiments.training.optimizers import OPTIMIZERS, evaluating, make_optimizer, step_arguments
from lastiterate.theory.base.validation import InputError

ALL = sorted(OPTIMIZERS)
TUNED = {"sgd": 1.0, "momentum": 0.1, "mda": 0.3, "adam": 0.05, "adamw": 0.05, "gradagrad": 0.1, "momo_adam": 0.1,
         "schedule_free_adamw": 0.05, "schedule_free_radam": 0.5, "adagrad": 0.1, "adamax": 0.05, "nadam": 0.05,
         "radam": 0.05, "rmsprop": 0.02, "asgd": 1.0, "lion": 0.01, "adadelta": 10.0, "adafactor": 0.3,
         "dadapt_lion": 0.3}  # fmt: skip
STILL = {"asgd": {"lambd": 0.0}}
"""Options without which an optimizer moves parameters whose gradient is zero, beside weight decay."""


def logistic_data():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 5))
    labels = np.sign(inputs @ rng.normal(size=5) + 0.1 * rng.normal(size=64))
    return torch.tensor(inputs), torch.tensor(labels)


def logistic_loss(x, offset, batch=None):
    inputs, labels = logistic_data()
    if batch is not None:
        inputs, labels = inputs[batch], labels[batch]
    return torch.nn.functional.softplus(-labels * (inputs @ x.reshape(5) + offset.reshape(()))).mean()


def parameters(name=""):
    """A vector and a number; as matrices where the optimizer takes nothing else."""
    torch.manual_seed(0)
    shapes = ((5, 1), (1, 1)) if name == "muon" else ((5,), ())
    return [torch.nn.Parameter(0.1 * torch.randn(5, dtype=torch.float64).reshape(shapes[0])),
            torch.nn.Parameter(torch.zeros(shapes[1], dtype=torch.float64))]  # fmt: skip


def without_decay(name, params):
    """The optimizer with all decay of the parameters off."""
    still = dict(STILL.get(name, {}))
    if make_optimizer(name, params).param_groups[0].get("weight_decay"):
        still["weight_decay"] = 0.0
    return make_optimizer(name, params, TUNED.get(name), **still)


def train(optimizer, params, steps, base_lr=None):
    """Run one step for every number in ``steps``, the multipliers of the initial learning rate."""
    first = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
    for multiplier in map(float, steps):
        for group, lr in zip(optimizer.param_groups, first, strict=True):
            group["lr"] = lr * multiplier
        optimizer.zero_grad()
        loss = logistic_loss(*params)
        loss.backward()
        optimizer.step(**step_arguments(optimizer, loss))


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_learns(name):
    params = parameters(name)
    optimizer = make_optimizer(name, params, TUNED.get(name))
    start = logistic_loss(*params).item()
    train(optimizer, params, np.linspace(1.0, 0.0, 300, endpoint=False))
    with evaluating(optimizer):
        assert logistic_loss(*params).item() < 0.5 * start


@pytest.mark.parametrize("name", ALL)
def test_zero_steps_leave_the_parameters_finite_and_in_place(name):
    params = parameters(name)
    optimizer = make_optimizer(name, params, TUNED.get(name))
    before = [p.detach().clone() for p in params]
    train(optimizer, params, [0.0, 0.0])
    for p, old in zip(params, before, strict=True):
        torch.testing.assert_close(p.detach(), old, rtol=0, atol=1e-15)
    train(optimizer, params, [1.0, 0.5, 0.0, 0.5, 0.0])
    assert all(torch.isfinite(p).all() for p in params)


@pytest.mark.parametrize("name", ALL)
def test_a_first_gradient_of_zero_moves_nothing(name):
    params = parameters(name)
    optimizer = without_decay(name, params)
    before = [p.detach().clone() for p in params]
    loss = sum((0.0 * p).sum() for p in params) + 1.0
    loss.backward()
    optimizer.step(**step_arguments(optimizer, loss))
    for p, old in zip(params, before, strict=True):
        torch.testing.assert_close(p.detach(), old, rtol=0, atol=0)
    train(optimizer, params, [1.0, 0.5])
    assert all(torch.isfinite(p).all() for p in params)


@pytest.mark.parametrize("name", ALL)
def test_resuming_from_a_saved_state_is_bitwise(name):
    steps = np.linspace(1.0, 0.2, 40)
    straight = parameters(name)
    train(make_optimizer(name, straight, TUNED.get(name)), straight, steps)

    halves = parameters(name)
    optimizer = make_optimizer(name, halves, TUNED.get(name))
    train(optimizer, halves, steps[:17])
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "params": [p.detach() for p in halves]}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = [torch.nn.Parameter(p.clone()) for p in saved["params"]]
    optimizer = make_optimizer(name, resumed, TUNED.get(name))
    optimizer.load_state_dict(saved["optimizer"])
    train(optimizer, resumed, steps[17:])
    for p, expected in zip(resumed, straight, strict=True):
        assert torch.equal(p, expected)


def test_options_in_the_specification():
    params = parameters()
    assert make_optimizer("sgd:momentum=0.9,nesterov=true", params, 0.1).defaults["nesterov"] is True
    assert make_optimizer("adamw:beta1=0.8,weight_decay=0.3", params, 0.1).defaults["betas"] == (0.8, 0.999)
    assert make_optimizer("adam:beta1=0,beta2=0.99", params, 0.1).defaults["betas"] == (0.0, 0.99)
    assert make_optimizer("prodigy:weight_decay=0.1", params).defaults["weight_decay"] == 0.1
    assert make_optimizer("momentum", params, 0.1).defaults["momentum"] == 0.9
    assert make_optimizer("sgd:momentum=0.9,dampening=1", params, 0.1).defaults["dampening"] == 1
    train(make_optimizer("prodigy:slice_p=2", params), params, [1.0, 0.5])  # a stride must stay an integer


def test_building_prints_nothing(capsys):
    make_optimizer("prodigy:weight_decay=0.1", parameters())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("spec", "base_lr", "argument"),
    [
        ("adagard", 0.1, "optimizer"),
        ("lbfgs", 0.1, "optimizer"),
        ("sparse-adam", 0.1, "optimizer"),
        ("adam:fused=true", 0.1, "optimizer options"),
        ("adam:capturable=true", 0.1, "optimizer options"),
        ("muon", 0.1, "params"),
        ("no_such_module:Adam", 0.1, "optimizer"),
        ("torch.optim:Nothing", 0.1, "optimizer"),
        ("math:sqrt", 0.1, "optimizer"),
        ("lion:beta1=2", 0.1, "betas"),
        ("dog:eps=0", 0.1, "eps"),
        ("sgd:momentum", 0.1, "optimizer"),
        ("sgd:speed=3", 0.1, "optimizer options"),
        ("sgd:momentum=-1", 0.1, "optimizer"),
        ("sgd:momentum=fast", 0.1, "optimizer options"),
        ("sgd", 0.0, "base_lr"),
        ("sgd", float("nan"), "base_lr"),
        ("mda:momentum=1", 0.1, "momentum"),
        ("gradagrad:growth_limit=2", 0.1, "growth_limit"),
    ],
)
def test_bad_specifications_are_input_errors(spec, base_lr, argument):
    with pytest.raises(InputError) as caught:
        make_optimizer(spec, parameters(), base_lr)
    assert caught.value.argument == argument


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(MissingExtraError, match=r'prodigyopt.*pip install "lastiterate\[optimizers\]"'):
        make_optimizer("prodigy", parameters())


def literal_gradagrad(gradient, x, lrs, rho, r, coordinatewise):
    """The equations of arXiv 2206.06900, one line each, in NumPy."""
    alpha = np.zeros_like(x) if coordinatewise else 0.0
    gamma = np.ones_like(x) if coordinatewise else 1.0
    previous = np.zeros_like(x)
    for lr in lrs:
        g = gradient(x)
        v = g * g - rho * g * previous
        if not coordinatewise:
            v = v.sum()
        grows = (v < 0) & (alpha > 0)
        capped = np.clip(v, -r * alpha, 0.0)
        gamma = np.where(grows, gamma * np.sqrt(1 - capped / np.where(alpha > 0, alpha, 1.0)), gamma)
        alpha = np.where(v >= 0, alpha + v, alpha)
        x = x - lr * gamma / np.sqrt(np.where(alpha > 0, alpha, np.inf)) * g
        previous = g
    return x


def literal_mda(gradient, x, lrs, momentum):
    """The z-recursion of MDA: an SGD step and a pull to the start of weight 1 - sqrt(k / (k + 1))."""
    start, z = x, x
    sums = []
    for k, lr in enumerate(lrs):
        sums.append(np.sqrt(k + 1) * lr * gradient(x))
        z = start - np.sum(sums, axis=0) / np.sqrt(k + 1)
        x = momentum * x + (1 - momentum) * z
    return x


def noisy_gradient(steps):
    """Gradients of a l1 regression with fresh noise in every step, the same for both routes."""
    rng = np.random.default_rng(1)
    matrix, target = rng.normal(size=(20, 6)), rng.normal(size=20)
    noise = iter(rng.normal(size=(steps, 6)))
    return lambda x: matrix.T @ np.sign(matrix @ x - target) / 20 + 0.3 * next(noise)


def run_torch(build, steps, lrs):
    gradient = noisy_gradient(steps)
    x = torch.nn.Parameter(torch.full((6,), 0.5, dtype=torch.float64))
    halves = [torch.nn.Parameter(x.detach()[:2].clone()), torch.nn.Parameter(x.detach()[2:].clone())]
    optimizer = build(halves)
    for lr in lrs:
        optimizer.param_groups[0]["lr"] = lr
        g = gradient(torch.cat([p.detach() for p in halves]).numpy())
        halves[0].grad, halves[1].grad = torch.tensor(g[:2]), torch.tensor(g[2:])
        optimizer.step()
    return torch.cat([p.detach() for p in halves]).numpy()


@pytest.mark.parametrize("coordinatewise", [False, True])
@pytest.mark.parametrize(("rho", "r"), [(2.0, 1.0), (2.0, 0.1), (0.0, 1.0)])
def test_gradagrad_vs_literal_equations(coordinatewise, rho, r):
    lrs = 0.1 * np.linspace(1.0, 0.0, 200)
    expected = literal_gradagrad(noisy_gradient(200), np.full(6, 0.5), lrs, rho, r, coordinatewise)
    got = run_torch(lambda p: GradaGrad(p, lr=0.1, rho=rho, growth_limit=r, coordinatewise=coordinatewise), 200, lrs)
    np.testing.assert_allclose(got, expected, rtol=1e-11)


def test_gradagrad_without_products_vs_torch_adagrad():
    lrs = [0.1] * 100
    ours = run_torch(lambda p: GradaGrad(p, lr=0.1, rho=0.0, coordinatewise=True), 100, lrs)
    theirs = run_torch(lambda p: torch.optim.Adagrad(p, lr=0.1, eps=0.0), 100, lrs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_gradagrad_grows_by_at_most_the_limit_and_survives_zero_gradients():
    x = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = GradaGrad([x], lr=0.01, growth_limit=0.5)
    x.grad = torch.zeros_like(x)
    optimizer.step()
    assert x.item() == 1.0
    lengths = []
    for _ in range(6):
        before = x.item()
        x.grad = torch.ones_like(x)  # always the same gradient: v < 0 from the second step on
        optimizer.step()
        lengths.append(before - x.item())
    np.testing.assert_allclose(np.divide(lengths[1:], lengths[:-1]), np.sqrt(1.5), rtol=1e-12)


def branches(order, n_steps=9, **options):
    """Steps of b, whose partner a has a gradient in every third step only."""
    a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = GradaGrad([[a, b][i] for i in order], lr=1.0, **options)
    lengths = []
    for k in range(n_steps):
        a.grad = torch.ones(1) if k % 3 == 0 else None
        b.grad = torch.full((1,), 1.0 + k % 2)
        before = b.item()
        optimizer.step()
        lengths.append(before - b.item())
    return lengths


@pytest.mark.parametrize("rho", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("coordinatewise", [False, True])
def test_gradagrad_does_not_depend_on_the_order_of_parameters(rho, coordinatewise):
    first, second = (branches(order, rho=rho, coordinatewise=coordinatewise) for order in ((0, 1), (1, 0)))
    np.testing.assert_allclose(first, second, rtol=1e-6)
    if rho == 0.0 and not coordinatewise:
        squares = np.cumsum([(k % 3 == 0) + (1.0 + k % 2) ** 2 for k in range(9)])
        np.testing.assert_allclose(first, (1.0 + np.arange(9) % 2) / np.sqrt(squares), rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e20])
@pytest.mark.parametrize("coordinatewise", [False, True])
def test_gradagrad_leaves_out_one_bad_gradient_and_says_so(bad, coordinatewise):
    def run(spoilt):
        w = torch.nn.Parameter(torch.ones(3))
        optimizer = GradaGrad([w], lr=0.5, coordinatewise=coordinatewise)
        for k in range(50):
            w.grad = 2 * w.detach().clone()
            if k == 3 and spoilt:
                w.grad[0] = bad
                with pytest.warns(GradientWarning, match="left out"):
                    optimizer.step()
            elif k != 3:
                optimizer.step()
        return w.detach()

    assert run(spoilt=True).abs().max() < 0.05
    if not coordinatewise:
        torch.testing.assert_close(run(spoilt=True), run(spoilt=False))


@pytest.mark.parametrize("build", [GradaGrad, MDA])
class TestConventions:
    """What torch's own optimizers do, asked of ours."""

    def test_maximize_goes_the_other_way(self, build):
        x, y = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
        down, up = build([x], lr=0.1), build([y], lr=0.1, maximize=True)
        for k in range(5):
            x.grad = torch.tensor([1.0, 0.5 * k])
            y.grad = -x.grad
            down.step(), up.step()
        torch.testing.assert_close(x, y)

    @pytest.mark.parametrize("option", ["foreach", "capturable", "differentiable", "fused"])
    def test_what_is_not_there_is_refused_only_when_asked_for(self, build, option):
        x = torch.nn.Parameter(torch.ones(1))
        build([x], lr=0.1, **{option: False})
        build([x], lr=0.1, **{option: None})
        with pytest.raises(InputError, match=option):
            build([x], lr=0.1, **{option: True})
        with pytest.raises(TypeError, match="speed"):
            build([x], speed=1)

    def test_options_of_groups_are_checked(self, build):
        x, y = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
        bad = [{"lr": -1.0}, {"lr": float("nan")}, {"weight_decay": -1.0}, {"maximize": "no"}]
        bad += [{"rho": -3.0}, {"growth_limit": 2.0}] if build is GradaGrad else [{"momentum": 5.0}]
        optimizer = build([x], lr=0.1)
        for option in bad:
            with pytest.raises(InputError, match=next(iter(option))):
                build([{"params": [x], **option}], lr=0.1)
            with pytest.raises(InputError, match=next(iter(option))):
                optimizer.add_param_group({"params": [y], **option})
        assert len(optimizer.param_groups) == 1
        optimizer.add_param_group({"params": [y], "lr": 0.2})

    def test_learning_rates_may_be_zero_or_a_tensor(self, build):
        x, y = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
        number, tensor, still = build([x], lr=0.25), build([y], lr=torch.tensor(0.25)), build([y], lr=0.0)
        before = y.detach().clone()
        y.grad = torch.ones(2)
        still.step()
        torch.testing.assert_close(y.detach(), before)
        for _ in range(3):
            x.grad = y.grad = torch.tensor([1.0, 2.0])
            number.step(), tensor.step()
        torch.testing.assert_close(x, y)

    def test_complex_parameters_are_pairs(self, build):
        z = torch.nn.Parameter(torch.tensor([1.0 + 2.0j]))
        pair = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        for optimizer, p in ((build([z], lr=0.1), z), (build([pair], lr=0.1), pair)):
            for k in range(4):
                p.grad = torch.tensor([0.5 + 1.0j * k]) if p.is_complex() else torch.tensor([0.5, 1.0 * k])
                optimizer.step()
        torch.testing.assert_close(torch.view_as_real(z.detach())[0], pair.detach())

    def test_sparse_gradients_are_refused(self, build):
        embedding = torch.nn.Embedding(4, 2, sparse=True)
        embedding(torch.tensor([1])).sum().backward()
        with pytest.raises(InputError, match="sparse"):
            build(embedding.parameters(), lr=0.1).step()

    def test_resume_is_bitwise(self, build, tmp_path):
        def train(optimizer, p, first, last):
            for k in range(first, last):
                p.grad = torch.tensor([1.0 / (k + 1), -0.5 * k])
                optimizer.step()

        x, y = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
        whole, first = build([x], lr=0.1), build([y], lr=0.1)
        train(whole, x, 0, 8)
        train(first, y, 0, 4)
        torch.save(first.state_dict(), tmp_path / "o.pt")
        second = build([y], lr=0.1)
        second.load_state_dict(torch.load(tmp_path / "o.pt", weights_only=True))
        train(second, y, 4, 8)
        assert torch.equal(x, y)


def test_dadapt_adagrad_with_a_frozen_group_trains_the_others():
    pytest.importorskip("dadaptation")

    def groups(frozen_first):
        frozen, free = torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.ones(5))
        listed = [{"params": [frozen], "lr": 0.0}, {"params": [free]}]
        optimizer = make_optimizer("dadapt_adagrad", listed if frozen_first else listed[::-1])
        for _ in range(50):
            optimizer.zero_grad()
            ((frozen - 3).abs().sum() + (free - 3).abs().sum()).backward()
            optimizer.step()
        return frozen, free, optimizer.param_groups

    for frozen_first in (False, True):
        frozen, free, listed = groups(frozen_first)
        assert torch.equal(frozen, torch.ones(5))
        assert free.min() > 1.001
        assert listed[0]["d"] == listed[1]["d"] > 1e-4
    optimizer = make_optimizer("dadapt_adagrad", [{"params": [free]}, {"params": [frozen], "lr": 0.5}])
    with pytest.raises(InputError, match="one learning rate"):
        optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_mda_vs_literal_equations(momentum):
    lrs = 0.1 * np.linspace(1.0, 0.0, 200)
    expected = literal_mda(noisy_gradient(200), np.full(6, 0.5), lrs, momentum)
    got = run_torch(lambda p: MDA(p, lr=0.1, momentum=momentum), 200, lrs)
    np.testing.assert_allclose(got, expected, rtol=1e-11)


def test_mda_vs_its_sgd_recursion():
    """For a constant learning rate z is an SGD step plus a pull to the start of weight 1 - sqrt(k / (k + 1))."""
    gradient, start = noisy_gradient(100), np.full(6, 0.5)
    x, z = start, start
    for k in range(100):
        shrink = np.sqrt(k / (k + 1))
        z = shrink * z + (1 - shrink) * start - 0.1 * gradient(x)
        x = 0.9 * x + 0.1 * z
    np.testing.assert_allclose(run_torch(lambda p: MDA(p, lr=0.1), 100, [0.1] * 100), x, rtol=1e-11)


@pytest.mark.parametrize(
    ("method", "build"),
    [
        ("gradagrad", lambda p: GradaGrad(p, lr=0.3)),
        ("gradagrad_coordinate", lambda p: GradaGrad(p, lr=0.3, coordinatewise=True)),
        ("mda", lambda p: MDA(p, lr=0.3)),
    ],
)
def test_torch_optimizers_vs_numba_simulators(method, build):
    import lastiterate as li

    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(30, 4))
    problem = li.problems.logistic(matrix, np.sign(matrix @ rng.normal(size=4) + 0.5 * rng.normal(size=30)))
    steps = li.schedules.cosine(60)
    run = li.simulate(problem, method, steps, base_lr=0.3)
    x = torch.nn.Parameter(torch.tensor(problem.x0))
    optimizer = build([x])
    for multiplier in steps.tolist():
        optimizer.param_groups[0]["lr"] = 0.3 * multiplier
        x.grad = torch.tensor(problem.subgradient(x.detach().numpy()))
        optimizer.step()
    np.testing.assert_allclose(x.detach().numpy(), run.points[0, 0, 0], rtol=1e-10)
