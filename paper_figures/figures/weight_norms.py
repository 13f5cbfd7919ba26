"""Weight norms under AdamW (arXiv 2305.17212), and whether the effective rate that follows explains the losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.forecast.fitting import fit_losses
from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory import schedules
from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.effective_steps import effective_steps

__all__ = ["FIGURES", "train"]

STD = 0.05
DECAYS = (0.0, 0.5)
RUNS = (
    ("constant", 1e-3),
    ("cosine:minimum=0.1", 1e-3),
    ("wsd:cooldown=0.3", 1e-3),
    ("linear", 1e-3),
    ("linear", 3e-3),
)
LAWS = ("norm_memory", "norm_memory_scale_free", "functional_power", "functional", "multi_power", "annealing")
COLORS = ("#0072B2", "#D55E00", "#009E73")
TEST_EVERY = 20


def train(rates: Array, decay: float) -> tuple[Array, Array]:
    """Train a network of three scale-invariant matrices on noisy digits with AdamW.

    Returns the root mean square of the matrices before each step, float64[N, 3], and the losses on fresh noisy digits
    after every 20 steps, float64[N // 20].
    """
    import torch
    from sklearn.datasets import load_digits

    images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    generator = torch.Generator().manual_seed(1)
    init = torch.Generator().manual_seed(0)
    shapes = ((64, 64), (64, 64), (10, 64))
    matrices = [(STD * torch.randn(*shape, generator=init)).requires_grad_() for shape in shapes]
    optimizer = torch.optim.AdamW(matrices, lr=1.0, weight_decay=decay, betas=(0.9, 0.95))

    def draw(count: int) -> tuple[Any, Any]:
        chosen = torch.randint(0, labels.numel(), (count,), generator=generator)
        inputs = (images[chosen] / 16.0).float() + 0.6 * torch.randn(count, 64, generator=generator)
        other = torch.randint(0, 10, (count,), generator=generator)
        return inputs, torch.where(torch.rand(count, generator=generator) < 0.2, other, labels[chosen])

    def loss_of(inputs: Any, targets: Any) -> Any:
        for matrix in matrices[:-1]:
            inputs = torch.relu(torch.nn.functional.layer_norm(inputs @ matrix.T, (64,)))
        return torch.nn.functional.cross_entropy(
            2.0 * torch.nn.functional.layer_norm(inputs @ matrices[-1].T, (10,)), targets
        )

    test = draw(8192)
    norms: list[list[float]] = []
    losses: list[float] = []
    for step, rate in enumerate(rates.tolist(), start=1):
        norms.append([float(matrix.detach().square().mean().sqrt()) for matrix in matrices])
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss_of(*draw(64)).backward()
        optimizer.step()
        if step % TEST_EVERY == 0:
            with torch.no_grad():
                losses.append(float(loss_of(*test)))
    return np.array(norms), np.array(losses)


def _compute(settings: Settings) -> Data:
    n = 1000 if settings.quick else 3000
    result = settings.cache.get(f"forecast-weight-norms-{n}", lambda: _measure(n, settings))
    return {**result, "caption": f"{n} steps of AdamW, batches of 64, one seed; decay 0 and 0.5, initial scale {STD}."}


def _measure(n: int, settings: Settings) -> Data:
    norms: dict[str, Any] = {}
    logs: dict[float, list[LossLog]] = {decay: [] for decay in DECAYS}
    at = np.arange(TEST_EVERY, n + 1, TEST_EVERY)
    for decay in DECAYS:
        for text, peak in RUNS:
            settings.progress(f"decay {decay:g}, {text}, {peak:g}")
            rates = peak * schedules.parse(text, n)
            measured, losses = train(rates, decay)
            predicted = STD * rates / effective_steps(rates, weight_decay=decay, init_std=STD)
            every = np.arange(0, n, n // 100)
            name = f"decay {decay:g}, {text}, {peak:g}"
            norms[name] = {
                "step": every.tolist(),
                "predicted": predicted[every].tolist(),
                "measured": (measured * STD / measured[0])[every].tolist(),  # small matrices start a few percent off
            }
            logs[decay].append(LossLog(rates, at, losses, decay, STD, name=name))
    return {"norms": norms, "errors": {law: _errors(law, logs) for law in LAWS}}


def _errors(law: str, logs: dict[float, list[LossLog]]) -> dict[str, float]:
    """Errors on runs left out within each decay, and from each decay to the other, in nats."""
    fits = {decay: fit_losses(runs, law) for decay, runs in logs.items()}
    errors = {f"left out, decay {decay:g}": fit.score.left_out for decay, fit in fits.items()}
    for decay, other in (DECAYS, DECAYS[::-1]):
        late = [(log, log.at > 0.1 * log.steps.size) for log in logs[other]]
        missed = [
            np.mean(np.abs(fits[decay].fitted.law.curve(fits[decay].theta, log.run)[log.at] - log.loss)[kept])
            for log, kept in late
        ]
        errors[f"decay {decay:g} to {other:g}"] = float(np.mean(missed))
    return errors


def _draw(data: Data) -> Any:
    figure, (left, right) = panels(2, height=2.6)
    for name, color in zip(
        ("decay 0, linear, 0.001", "decay 0.5, linear, 0.001", "decay 0.5, linear, 0.003"), COLORS, strict=True
    ):
        row = data["norms"][name]
        left.plot(row["step"], row["measured"], color=color, linewidth=0.8, alpha=0.6)
        left.plot(row["step"], row["predicted"], "--", color=color, label=name)
    left.set(xlabel="step", ylabel="root mean square", title="three matrices, and the recursion (dashed)")
    left.legend()
    names = list(next(iter(data["errors"].values())))
    width = 0.8 / len(LAWS)
    for i, law in enumerate(LAWS):
        right.bar(np.arange(len(names)) + i * width, [data["errors"][law][name] for name in names], width, label=law)
    right.set(yscale="log", ylabel="mean error, nats")
    right.set_xticks(np.arange(len(names)) + 0.4, names, rotation=15, fontsize="x-small")
    right.set_ylim(top=2.0 * max(max(row.values()) for row in data["errors"].values()))
    right.legend(fontsize="xx-small", ncols=2)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for peak, tolerance in ((0.001, 0.04), (0.003, 0.12)):
        rows = {name: row for name, row in data["norms"].items() if name.endswith(f"{peak:g}")}
        for layers, part in (("the first two matrices", slice(0, 2)), ("the last matrix", slice(2, 3))):
            off = {
                name: float(
                    np.max(np.abs(np.array(row["measured"])[:, part] / np.array(row["predicted"])[:, None] - 1.0))
                )
                for name, row in rows.items()
            }
            worst = max(off, key=lambda name: off[name])
            claim = f"peak {peak:g}: the norms of {layers} follow the recursion within {tolerance:.0%} at every step"
            checks.append(holds(claim, off[worst] < tolerance, f"{off[worst]:.1%} ({worst})", kind="theory"))
    for move in next(iter(data["errors"].values())):
        errors = {law: row[move] for law, row in data["errors"].items()}
        best = min(errors, key=lambda law: errors[law])
        claim = f"{move}: the norm-memory law errs least"
        shown = ", ".join(f"{law} {error:.4f}" for law, error in errors.items())
        checks.append(holds(claim, best == "norm_memory", shown, kind="theory"))
    return checks


FIGURES = [
    Figure(
        "forecast-weight-norms",
        "Rotational equilibrium (2305.17212) and forecasts",
        "Root mean squares of scale-invariant weights under AdamW beside the recursion without a fitted number, and "
        "errors of laws of the loss within one weight decay and from one to the other.",
        "Norms follow the recursion; the effective rate carries losses from one decay to another.",
        "Noisy digits with a fifth of the labels flipped.",
        "60 s",
        _compute,
        _draw,
        _check,
    )
]
