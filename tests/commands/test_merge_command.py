"""The command ``merge``."""

import json

import pytest
import torch
from typer.testing import CliRunner

from lastiterate.cli import app
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.merge import optimal_merge


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_weights_are_those_of_the_function():
    result = run("merge", "constant", "-n", 24, "--every", 4, "--last", 6, "--base-lr", 0.2, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    best = optimal_merge([0.2] * 24, range(4, 25, 4))
    assert [row["checkpoint"] for row in document["rows"]] == [4, 8, 12, 16, 20, 24]
    assert [row["weight"] for row in document["rows"]] == pytest.approx(best.weights[4::4].tolist())
    assert document["worst_case_at_most"] == pytest.approx(best.value)
    assert document["at_least"] <= document["worst_case_at_most"] <= document["equal_weights"]


def test_files_are_merged_and_the_picture_is_drawn(tmp_path):
    for k in range(3):
        torch.save({"w": torch.full((2,), float(k))}, tmp_path / f"{k}.pt")
    words = ["merge", "constant", "-n", 12, "--last", 3, "--every", 2, "--base-lr", 0.3]
    names = [word for k in range(3) for word in ("--file", tmp_path / f"{k}.pt")]
    result = run(*words, *names, "--out", tmp_path / "out.pt", "--plot", tmp_path / "decay.png", "--json")
    assert result.exit_code == 0, result.output
    weights = [row["weight"] for row in json.loads(result.output)["rows"]]
    merged = torch.load(tmp_path / "out.pt", weights_only=True)["w"][0].item()
    assert merged == pytest.approx(weights[1] + 2.0 * weights[2], rel=1e-6)
    assert (tmp_path / "decay.png").stat().st_size > 0


def test_table_without_options():
    result = run("merge", "linear", "-n", 60)
    assert result.exit_code == 0, result.output
    assert "last checkpoint alone" in result.output


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (["-n", 10, "--every", 4, "--last", 4], "--last"),
        (["-n", 10, "--every", 0], "--every"),
        (["-n", 10, "--last", 0], "--last"),
        (["-n", 10, "--last", 2, "--file", "a.pt"], "--file"),
    ],
)
def test_bad_options_are_named(words, argument):
    error = run("merge", "linear", *words).exception
    assert isinstance(error, InputError)
    assert error.argument == argument
