"""The norm recursion against the weights of a network trained with AdamW."""

import numpy as np
import pytest

from lastiterate.theory import schedules
from lastiterate.theory.laws.effective_steps import effective_steps

torch = pytest.importorskip("torch")

STD = 0.05


class Normalised(torch.nn.Module):
    """Scale-invariant layers only."""

    def __init__(self):
        super().__init__()
        sizes = [(64, 64), (64, 64), (64, 10)]
        self.layers = torch.nn.ModuleList([torch.nn.Linear(*size, bias=False) for size in sizes])
        for layer in self.layers:
            torch.nn.init.normal_(layer.weight, std=STD)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(torch.nn.functional.layer_norm(layer(x), (64,)))
        return 2.0 * torch.nn.functional.layer_norm(self.layers[-1](x), (10,))


def train(rates, decay):
    from sklearn.datasets import load_digits

    images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    network = Normalised()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=decay, betas=(0.9, 0.95))
    norms = []
    for rate in rates.tolist():
        norms.append([float(layer.weight.detach().square().mean().sqrt()) for layer in network.layers])
        optimizer.param_groups[0]["lr"] = rate
        chosen = torch.randint(0, labels.numel(), (64,), generator=generator)
        inputs = (images[chosen] / 16.0).float() + 0.6 * torch.randn(64, 64, generator=generator)
        targets = torch.where(
            torch.rand(64, generator=generator) < 0.2, torch.randint(0, 10, (64,), generator=generator), labels[chosen]
        )
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    return np.array(norms)


@pytest.mark.slow
@pytest.mark.parametrize(("decay", "peak", "tolerance"), [(0.0, 1e-3, 0.04), (0.5, 1e-3, 0.04), (0.0, 3e-3, 0.12)])
def test_norms_under_adamw(decay, peak, tolerance):
    rates = peak * schedules.linear(1200)
    predicted = rates * STD / effective_steps(rates, weight_decay=decay, init_std=STD)
    measured = train(rates, decay)[:, :2]
    grown = measured / measured[0]
    np.testing.assert_allclose(grown[::100], np.tile(predicted[::100, None] / predicted[0], 2), rtol=tolerance)
    assert abs(predicted[-1] / STD - 1.0) > 1.5 * tolerance  # otherwise a constant would pass as well
