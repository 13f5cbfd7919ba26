"""Averages beside a run: the numbers of a plain loop, resuming, and a run that is not touched."""

import numpy as np
import pytest
import torch

from lastiterate.experiments.training.averaging import WeightAverage
from lastiterate.experiments.training.optimizers import make_optimizer
from lastiterate.experiments.training.train import TrainingSettings, train
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError

STEPS = np.linspace(1.0, 0.1, 20)


def run(average, **options):
    return train(load_workload("digits_logistic"), STEPS, 1.0, settings=TrainingSettings(average=average), **options)


def averaged_by_hand(text, n, points):
    kind, number = text.split(":")[0], float(text.split("=")[1])
    if kind == "tail":
        return np.mean(points[round(number * n) :], axis=0)
    mean = points[0]
    for point in points[1:]:
        mean = number * mean + (1 - number) * point
    return mean


@pytest.mark.parametrize("text", ["ema:decay=0.9", "tail:start=0.5", "tail:start=0"])
def test_against_a_plain_loop(text):
    model = torch.nn.Linear(3, 1).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    average = WeightAverage(text, model, optimizer, 30)
    points, generator = [], torch.Generator().manual_seed(0)
    for _ in range(30):
        optimizer.zero_grad()
        model(torch.randn(8, 3, generator=generator, dtype=torch.float64)).square().mean().backward()
        optimizer.step()
        points.append(model.weight.detach().numpy().copy())
    np.testing.assert_allclose(average.model.weight.detach(), averaged_by_hand(text, 30, points), rtol=1e-12)


@pytest.mark.parametrize("text", ["ema:decay=0.8", "tail:start=0.5"])
def test_it_is_evaluated_beside_a_run_that_does_not_change(text):
    with_it, without = run(text), run(None)
    assert {key: with_it.final[key] for key in without.final} == without.final
    assert set(with_it.final) == {*without.final, *(f"{key} of the average" for key in without.final)}
    np.testing.assert_array_equal(with_it.losses, without.losses)
    assert with_it.final["loss of the average"] != with_it.final["loss"]


def test_a_tail_of_one_step_is_the_last_iterate():
    final = run("tail:start=0.999").final
    assert final["loss of the average"] == pytest.approx(final["loss"], rel=1e-6)


@pytest.mark.parametrize("text", ["ema:decay=0.8", "tail:start=0.3"])
def test_resuming_goes_on_with_the_average(text, tmp_path):
    whole = run(text)
    run(text, checkpoint=tmp_path / "run.pt", stop_after=11)
    assert run(text, checkpoint=tmp_path / "run.pt").final == whole.final


@pytest.mark.parametrize("text", ["mean", "ema:start=0.5", "ema:decay=1.0", "tail:start=2", "tail:start=half"])
def test_what_is_no_average_is_named(text):
    with pytest.raises(InputError, match="average"):
        TrainingSettings(average=text)


def test_schedule_free_has_its_own():
    pytest.importorskip("schedulefree")
    model = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match="evaluates at its own"):
        WeightAverage("tail", model, make_optimizer("schedule_free_sgd", model.parameters()), 4)


def test_the_command_prints_the_average_beside_the_last_iterate():
    from typer.testing import CliRunner

    from lastiterate.cli import app

    words = (
        "replay digits_logistic -s constant -n 30 --base-lr 1 --seeds 1 --extensions 0 -j 1 --average tail:start=0.5"
    )
    shown = CliRunner().invoke(app, words.split())
    assert shown.exit_code == 0, shown.output
    assert "constant: test_loss of the average" in shown.output
    assert "of the last iterate" in shown.output
