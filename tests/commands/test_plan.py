"""The command plan: answers that apply, with the numbers of the functions they rest on."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.experiments.advice import plan_run

LOGS = Path(__file__).parents[2] / "docs" / "questions"


def answers(*words):
    result = CliRunner().invoke(app, ["plan", *map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return {row["question"]: row for row in json.loads(result.stdout)["rows"]}


def test_only_what_applies_is_answered_and_each_answer_is_whole():
    short = answers("-n", 500)
    assert len(short) == 4
    full = answers("-n", 500, "--open", "100:200", "--cap", 0.01, "--batch", 32, "--log", LOGS / "noise.csv")
    assert set(short) < set(full)
    assert len(full) == 10
    for row in full.values():
        assert all(str(row[key]).strip() for key in ("answer", "reason", "uncertainty", "command"))
        assert row["command"].startswith("lastiterate ")
        assert np.isfinite(row["number"])


def test_numbers_are_those_of_the_functions():
    found = answers("-n", 500)
    cosine = li.tune_base_lr("cosine", n_steps=500).value * 501**0.5
    assert found["What do the usual shapes cost?"]["number"] == pytest.approx(cosine, rel=1e-12)
    peak = li.tune_base_lr("linear", n_steps=500).base_lr
    assert found["How does the peak change with the number of steps?"]["number"] == pytest.approx(peak, rel=1e-9)


def test_a_cap_binds_or_does_not():
    peak = li.tune_base_lr("linear", n_steps=300).base_lr
    free = plan_run(300, cap=2 * peak)[-1]
    assert free.answer.startswith("the cap does not bind")
    bound = plan_run(300, cap=0.4 * peak)[-1]
    best = li.design_schedule(300, max_step=0.4 * peak).value * 301**0.5
    assert best - 1e-9 <= bound.number <= 1.02 * best
    assert plan_run(300, cap=4 * peak, D=10.0)[-1].number == pytest.approx(bound.number, rel=1e-9)


def test_the_batch_is_answered_from_a_log_with_noise():
    without, within = (plan_run(400, batch=32.0, log=log) for log in (None, LOGS / "noise.csv"))
    question = "What does a batch of 64 do to the learning rate?"
    ends = next(answer for answer in without if answer.question == question)
    measured = next(answer for answer in within if answer.question == question)
    assert ends.number == 2.0
    assert 2**0.5 < measured.number < 2.0


def test_a_log_tells_the_number_of_steps_and_what_was_played():
    found = answers("--log", LOGS / "wsd.csv")
    steps = li.schedules.from_log(LOGS / "wsd.csv")
    value = li.tune_base_lr(steps).value * (steps.size + 1) ** 0.5
    assert found["How good was the schedule of the last run?"]["number"] == pytest.approx(value, rel=1e-12)


def test_it_asks_in_a_terminal_only_and_only_for_what_is_missing(monkeypatch):
    refused = CliRunner().invoke(app, ["plan"])
    assert refused.exit_code != 0
    assert "n_steps" in str(refused.exception)
    asked = []
    monkeypatch.setattr("lastiterate.commands.plan._is_terminal", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda text, type: asked.append(text) or 100)
    assert CliRunner().invoke(app, ["plan"]).exit_code == 0
    assert asked == ["Number of steps"]
    CliRunner().invoke(app, ["plan", "-n", "100"])
    assert len(asked) == 1


def test_a_long_run_says_at_which_length_it_was_judged(tmp_path):
    log = tmp_path / "long.csv"
    log.write_text("lr\n" + "\n".join("1.0" for _ in range(45_000)))
    shown = CliRunner().invoke(app, ["plan", "-n", "30000", "--cap", "1e-4", "--log", str(log)], terminal_width=400)
    assert "judged at 20,000 steps instead of 30,000" in " ".join(shown.stdout.split())
    found = answers("-n", 30_000, "--cap", 1e-4, "--log", log)
    told = {question for question, row in found.items() if "judged at 20,000 steps" in row["uncertainty"]}
    assert told == {"What do the usual shapes cost?", "How long a warm-up?", "What if the learning rate has a cap?"}
    again = found["How good was the schedule of the last run?"]
    assert "judged on one of 2 rates, 22,500 steps" in again["uncertainty"]
    assert not any("judged" in row["uncertainty"] for row in answers("-n", 20_000).values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--open", "10"), "--open"),
        (("--open", "20:10"), "open_horizon"),
        (("-n", 0), "n_steps"),
        (("-n", 10, "--cap", -1), "cap"),
        (("-n", 10, "--batch", 0), "batch"),
        (("--log", "absent.csv"), "absent.csv"),
    ],
)
def test_bad_input_is_named(words, said):
    result = CliRunner().invoke(app, ["plan", *map(str, words)])
    assert result.exit_code != 0
    assert said in str(result.exception)
