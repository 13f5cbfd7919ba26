"""The demo: theory's table, a replay, what it comes to; every command that it prints can be pasted."""

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.commands.demo import WHY, lessons
from lastiterate.experiments.replay.result import Replay
from lastiterate.experiments.statistics import default_plan
from lastiterate.theory.schedules.files import read_schedule


def typed(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        return SimpleNamespace(folder=folder, printed=typed("demo", "-o", folder, "--steps", 15, "--seeds", 2))


def test_it_fits_80_columns_and_says_what_two_seeds_cannot_do(demo):
    for line in demo.printed.splitlines():
        assert len(line) <= 80 or " " not in line.strip() or line.startswith("  lastiterate refine "), line
    said = " ".join(demo.printed.split())
    for part in ("1. What theory says", "inverse_sqrt", "Planned contrasts", "2 fresh seeds cannot decide", WHY):
        assert part in said


def test_its_report_tells_the_same_and_the_files_are_those_of_the_replay(demo):
    page = (demo.folder / "report.html").read_text()
    assert WHY in page
    assert "What theory says" in page
    assert "Refinement from recorded gradient norms" in page
    (round_,) = Replay.load(demo.folder / "replay.json").workloads[0].rounds
    np.testing.assert_array_equal(read_schedule(demo.folder / "schedule.json"), round_.refinement.steps)
    command = next(line for line in demo.printed.splitlines() if "lastiterate refine" in line)
    _, *words = shlex.split(command)
    typed(*words)
    np.testing.assert_allclose(read_schedule(demo.folder / "schedule.json"), round_.refinement.steps, rtol=1e-12)


@pytest.mark.parametrize(
    ("constant", "wsd", "said"),
    [
        (0.5, 0.1, "Theory holds here."),
        (0.5, 0.0, "Theory holds where these seeds decide."),
        (0.5, -0.1, "Theory is contradicted here"),
        (-0.5, -0.1, "Theory is contradicted here"),
        (0.0, 0.0, "These seeds decide nothing here"),
    ],
)
def test_what_it_comes_to_follows_the_measurements(constant, wsd, said):
    rng = np.random.default_rng(1)
    linear = 1.0 + 0.1 * rng.random(8)
    noise = 1e-2 * rng.standard_normal((2, 8))
    values = {"linear": linear, "constant": linear + constant + noise[0], "wsd": linear + wsd + noise[1]}
    comparisons = li.experiments.statistics.compare(values, default_plan().among(values))
    schedules = [SimpleNamespace(name=name, steps=li.schedules.parse(name, 50)) for name in values]
    workload = SimpleNamespace(
        schedules=schedules, rounds=(), higher_is_better=False, comparisons=lambda: comparisons, results=lambda: values
    )
    first = lessons(workload)[0]
    assert first.startswith(said)
    assert ("undecided" in first) == (wsd == 0.0)
