"""The norm recursion against the weights of a network trained with AdamW."""

import numpy as np
import pytest

from lastiterate.theory import schedules
from lastiterate.theory.laws.effective_steps import effective_steps

pytest.importorskip("torch")


@pytest.mark.slow
@pytest.mark.parametrize(("decay", "peak", "tolerance"), [(0.0, 1e-3, 0.04), (0.5, 1e-3, 0.04), (0.0, 3e-3, 0.12)])
def test_norms_under_adamw(decay, peak, tolerance):
    from lastiterate.paper_figures.figures.weight_norms import STD, train

    rates = peak * schedules.linear(1200)
    predicted = rates * STD / effective_steps(rates, weight_decay=decay, init_std=STD)
    norms, losses = train(rates[None], [decay], [0])
    measured = norms[0, 0, :2, ::8]
    grown = measured / measured[:, :1]
    step = np.arange(0, 1200, 96)
    np.testing.assert_allclose(grown, np.tile(predicted[step] / predicted[0], (2, 1)), rtol=tolerance)
    assert abs(predicted[-1] / STD - 1.0) > 1.5 * tolerance  # otherwise a constant would pass as well
    assert losses[0, 0, -1] < losses[0, 0, 0]


@pytest.mark.slow
def test_settings_and_seeds_run_at_once_as_they_do_alone():
    from lastiterate.paper_figures.figures.weight_norms import train

    rates = np.array([1e-3 * schedules.linear(200), 3e-3 * schedules.constant(200)])
    norms, losses = train(rates, [0.0, 0.5], [7, 8])
    alone, loss = train(rates[1:], [0.5], [8])
    np.testing.assert_allclose(norms[1, 1], alone[0, 0], rtol=1e-3)
    np.testing.assert_allclose(losses[1, 1], loss[0, 0], rtol=1e-2)
    assert np.abs(norms[1, 0] / alone[0, 0] - 1.0).max() > 1e-2  # another seed is another run


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_batched_training_is_that_of_modules_one_by_one(decay):
    """The same network as `torch.nn` modules in a plain loop, on the same draws."""
    import torch
    from sklearn.datasets import load_digits

    from lastiterate.paper_figures.figures.weight_norms import STD, train

    rates = 1e-3 * schedules.linear(100)
    norms, losses = train(rates[None], [decay], [3])

    generator = torch.Generator().manual_seed(3)
    images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    layers = [torch.nn.Linear(64, width, bias=False) for width in (64, 64, 10)]
    for layer in layers:
        layer.weight.data = STD * torch.randn(*layer.weight.shape, generator=generator)
    normed = [torch.nn.LayerNorm(width, elementwise_affine=False) for width in (64, 64, 10)]
    weights = [layer.weight for layer in layers]
    optimizer = torch.optim.AdamW(weights, lr=1.0, weight_decay=decay, betas=(0.9, 0.95), foreach=False, fused=False)

    def draw(count):
        chosen = torch.randint(0, 1797, (count,), generator=generator)
        inputs = (images[chosen] / 16.0).float() + 0.6 * torch.randn(count, 64, generator=generator)
        other = torch.randint(0, 10, (count,), generator=generator)
        flipped = torch.rand(count, generator=generator) < 0.2
        return inputs, torch.where(flipped, other, labels[chosen])

    def logits(inputs):
        for layer, norm in zip(layers[:2], normed[:2], strict=True):
            inputs = torch.relu(norm(layer(inputs)))
        return 2.0 * normed[2](layers[2](inputs))

    test = (images / 16.0).float() + 0.6 * torch.randn(1797, 64, generator=generator)
    found = []
    for step, rate in enumerate(rates.tolist()):
        now = [float(weight.detach().square().mean().sqrt()) for weight in weights]
        np.testing.assert_allclose(norms[0, 0, :, step], now, rtol=1e-4)
        inputs, targets = draw(64)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits(inputs), targets).backward()
        optimizer.step()
        if step in (39, 79):
            chances = logits(test).log_softmax(1).detach()  # a label is flipped to any of ten with chance 0.2
            found.append(-float(0.8 * chances[range(1797), labels].mean() + 0.2 * chances.mean()))
    np.testing.assert_allclose(losses[0, 0], found, rtol=1e-4)
