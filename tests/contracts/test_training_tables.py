"""One contract for all members of each table that needs torch: optimizers, workloads."""

from importlib import import_module

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lastiterate.experiments.training.extras import MissingExtraError  # noqa: E402
from lastiterate.experiments.training.optimizers import OPTIMIZERS, make_optimizer  # noqa: E402
from lastiterate.experiments.workloads.outline import outline  # noqa: E402
from lastiterate.experiments.workloads.protocol import SIZES, known_workloads, load_workload  # noqa: E402


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name):
    """Built by name, with hyphens too, it lowers a quadratic within a few hundred steps or stays where it is."""
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0]] if name == "muon" else [1.0, -2.0], dtype=torch.float64))
    try:
        optimizer = make_optimizer(name.replace("_", "-"), [weight])
    except MissingExtraError as error:
        pytest.skip(str(error))
    info = OPTIMIZERS[name]
    assert info.rule in ("sgd", "adam")
    before = float(weight.detach().square().sum())
    for _ in range(100):
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        optimizer.step(**({"loss": loss.detach()} if info.needs_loss else {}))
    after = float(weight.detach().square().sum())
    assert np.isfinite(after)
    assert after <= before


@pytest.mark.parametrize("name", known_workloads())
def test_workload(name):
    """It keeps the protocol: a metric, base learning rates that increase, an optimizer that the table knows.

    It states the shapes of its batches in both sizes, so that a dry run needs no data.
    """
    for size in SIZES:
        assert len({column.shape[0] for column in outline(name, size=size).shapes}) == 1
    assert hasattr(import_module(f"lastiterate.experiments.workloads.{name}"), "batch_shapes")
    try:
        workload = load_workload(name)
    except (MissingExtraError, ValueError) as error:
        pytest.skip(f"needs data of its own: {error}")
    assert workload.n_steps > 0
    assert list(workload.base_lrs) == sorted(workload.base_lrs)
    assert workload.optimizer.partition(":")[0] in OPTIMIZERS
