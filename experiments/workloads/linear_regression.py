"""Linear regression whose expected loss is known exactly: the analytic workload of the schedule search.

Runs are SGD on x in the eigenbasis of the Hessian with gradient lam * x + noise, where the noise of a batch has the
variance (1/B - 1/N) lam_i sum_j lam_j x_j^2 of mini-batch sampling. The mean over seeds of the loss after any
schedule is therefore what the recursion of arXiv 2603.10301 computes: see `expected_losses`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lastiterate.theory.base.validation import Array, check_count, check_positive
from lastiterate.theory.problems.linear_regression import LinearRecursion

from ._examples import Batch, Model, inference
from ._shapes import Column, Data, Shapes

__all__ = ["batch_shapes", "create"]


def create(
    size: str = "tiny",
    data: Data = None,
    modes: int | None = None,
    exponent: float = 1.5,
    batch_size: int = 8,
) -> "LinearRegressionWorkload":
    """Return the workload with eigenvalues i^-exponent, i = 1..modes, scaled to sum 1; it needs no data folder."""
    del data
    tiny = size == "tiny"
    count = _n_modes(size, modes)
    recursion = LinearRecursion.power_law(count, exponent=check_positive(exponent, "exponent"), batch_size=batch_size)
    return LinearRegressionWorkload(recursion=recursion, n_steps=100 if tiny else 10_000)


def batch_shapes(size: str = "tiny", modes: int | None = None, batch_size: int = 8, **_: object) -> Shapes:
    """Return shape and type of the one column of a batch, the signs of the noise."""
    return (Column((batch_size, _n_modes(size, modes))),)


def _n_modes(size: str, modes: int | None) -> int:
    return check_count(modes, "modes", minimum=2) if modes is not None else 128 if size == "tiny" else 4096


@dataclass(frozen=True)
class LinearRegressionWorkload:
    """The workload; one example of a batch is a row of random signs, its share of the noise."""

    recursion: LinearRecursion
    n_steps: int
    name: str = "linear_regression"
    optimizer: str = "sgd"
    base_lrs: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    metric: str = "loss"
    higher_is_better: bool = False
    source: str = "generated: SGD in the eigenbasis of the Hessian"

    def build_model(self) -> nn.Module:
        """Return a start with x_i = +-sqrt(p_i), signs drawn from torch's generator."""
        return RegressionWeights(self.recursion)

    def batch(self, seed: int, step: int) -> Batch:
        """Return float32[B, modes] of random signs."""
        shape = (self.recursion.batch_size, self.recursion.spectrum.size)
        signs = np.random.default_rng([seed, step]).integers(0, 2, size=shape)
        return (torch.from_numpy((2 * signs - 1).astype(np.float32)),)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the true loss, with the gradient of the loss on a batch."""
        return model(batch[0])

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the true loss."""
        with inference(model):
            return {"loss": float(model())}

    def expected_losses(self, steps: Any, base_lr: float = 1.0) -> Array:
        """Return the exact expectation over seeds of the loss before each step and after the last, float64[N + 1]."""
        return self.recursion.losses(base_lr * np.asarray(steps, dtype=np.float64))


class RegressionWeights(nn.Module):
    """The parameters y = x / sqrt(M): the gradient of mean_i lam_i x_i^2 / 2 in y moves x by lam_i x_i."""

    def __init__(self, recursion: LinearRecursion) -> None:
        super().__init__()
        start = torch.zeros(1) if recursion.start is None else torch.from_numpy(recursion.start)
        signs = torch.randint(0, 2, start.shape) * 2.0 - 1.0
        self.spectrum: nn.Buffer = nn.Buffer(torch.from_numpy(recursion.spectrum).float())
        self.y: nn.Parameter = nn.Parameter((signs * start.sqrt() / len(start) ** 0.5).float())
        self.noise = (1.0 - recursion.batch_size / recursion.n_samples) ** 0.5

    def forward(self, signs: Tensor | None = None) -> Tensor:
        """Return the mean over modes of lam x^2 / 2; with ``signs`` its gradient gets the noise of a batch."""
        x = self.y * len(self.y) ** 0.5
        energy = self.spectrum * x.square()
        loss = energy.mean() / 2.0
        if signs is None:
            return loss
        # linear in x with value zero: adds to the gradient only; signs of a row have variance 1, of their mean 1 / B
        spread = self.noise * (self.spectrum * energy.sum()).sqrt().detach()
        drift = (signs.mean(dim=0) * spread * x).mean()
        return loss + drift - drift.detach()
