"""The table that a device is tried out with, on the CPU: what passes, what fails, and what is left out."""

import json
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from lastiterate.cli import app
from lastiterate.experiments.training import smoke as module
from lastiterate.experiments.training.distributed import world
from lastiterate.experiments.training.smoke import CHECKS, smoke
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError

QUICK = [check for check in CHECKS if check != "compile"]


def cells(found, name="digits_mlp", size="tiny"):
    return {key[2]: (cell.passed, cell.text) for key, cell in found.cells.items() if key[:2] == (name, size)}


def test_the_cpu_passes_and_the_table_can_be_pasted():
    found = smoke("cpu", workloads=["digits_mlp", "digits_logistic"], sizes=["tiny"], checks=QUICK, n_steps=6)
    assert found.failed == 0
    assert found.passed == 12
    row = cells(found)
    for check in ("resume", "determinism", "DDP"):
        assert row[check] == (True, "same bits")
    assert row["bf16"][1].startswith("within ")
    assert row["compile"] == row["memory"] == (None, "-")
    facts, table, total = found.markdown().split("\n\n")
    assert f"* torch: {torch.__version__}" in facts
    lines = table.splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert total.startswith("12 passed, 0 failed, 4 not tried, in ")
    assert world() == (0, 1)
    assert not torch.distributed.is_initialized()


def test_full_sizes_train_on_random_numbers_without_data():
    found = smoke("cpu", workloads=["digits_mlp"], sizes=["full"], checks=["resume"], n_steps=20)
    assert cells(found, size="full")["resume"] == (True, "same bits")


def broken(monkeypatch, loss):
    """Every workload gets this loss."""

    def load(name):
        workload = load_workload(name)
        plain = workload.loss
        object.__setattr__(workload, "loss", lambda model, batch: loss(plain(model, batch)))
        return workload

    monkeypatch.setattr(module, "load_workload", load)


def try_out(*checks):
    return cells(smoke("cpu", workloads=["digits_mlp"], sizes=["tiny"], checks=checks or QUICK, n_steps=4))


def test_what_fails_plainly_is_not_tried_further(monkeypatch):
    def loss(value):
        raise RuntimeError("no kernel image\nis available")

    broken(monkeypatch, loss)
    row = try_out()
    assert row["steps"] == (False, "RuntimeError: no kernel image")
    assert {row[check] for check in QUICK[1:]} == {(None, "-")}


def test_memory_that_runs_out_is_a_cell(monkeypatch):
    def loss(value):
        raise torch.OutOfMemoryError("CUDA out of memory")

    broken(monkeypatch, loss)
    assert try_out()["steps"] == (False, "out of memory")


def test_a_refused_kernel_is_named(monkeypatch):
    def loss(value):
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("nll_loss2d does not have a deterministic implementation, but you set ...")
        return value

    broken(monkeypatch, loss)
    row = try_out("determinism", "resume")
    assert row["determinism"] == (False, "refused: nll_loss2d")
    assert row["resume"] == (True, "same bits")


def test_bits_that_change_fail_determinism_and_pass_where_they_are_few(monkeypatch):
    noise = iter(range(10**6))
    broken(monkeypatch, lambda value: value * (1.0 + 1e-5 * (next(noise) % 7)))
    row = try_out("determinism", "resume")
    assert row["determinism"][0] is False
    assert row["determinism"][1].startswith("differs by")
    assert row["resume"][0] is True
    assert row["resume"][1].startswith("within")


def test_half_precision_that_goes_astray_fails(monkeypatch):
    broken(monkeypatch, lambda value: value * (2.0 if torch.is_autocast_enabled("cpu") else 1.0))
    row = try_out("bf16", "resume")
    assert row["bf16"][0] is False
    assert row["resume"] == (True, "same bits")


def test_a_run_that_diverges_fails(monkeypatch):
    broken(monkeypatch, lambda value: value * float("nan"))
    assert try_out()["steps"] == (False, "diverged at 0")


def test_no_check_begins_after_the_time(monkeypatch):
    plain, clock = module._plain, [0.0]

    def slow(*given):
        clock[0] += 1.0
        return plain(*given)

    monkeypatch.setattr(module, "_plain", slow)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    names = ["digits_mlp", "digits_logistic"]
    found = smoke("cpu", workloads=names, sizes=["tiny"], minutes=0.5 / 60, n_steps=2, progress=False)
    assert cells(found)["steps"][0] is True  # the first check begins in time
    assert cells(found, "digits_logistic")["steps"] == (None, "no time")
    assert {text for check, (_, text) in cells(found).items() if check not in ("steps", "memory")} == {"no time"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"device": "cuda:77"}, "device"),
        ({"workloads": ["nothing"]}, "workload"),
        ({"sizes": ["huge"]}, "size"),
        ({"checks": ["fp8"]}, "check"),
        ({"minutes": 0.0}, "minutes"),
        ({"n_steps": 1}, "n_steps"),
    ],
)
def test_bad_arguments(given, named):
    with pytest.raises(InputError, match=named):
        smoke(**{"device": "cpu", **given})


def test_command(tmp_path, monkeypatch):
    given = ["gpu", "digits_logistic", "--device", "cpu", "--size", "tiny", "--check", "resume", "-n", "4"]
    runner = CliRunner()
    shown = runner.invoke(app, [*given, "--out", str(tmp_path / "table.md")])
    assert shown.exit_code == 0, shown.output
    assert "| digits_logistic | tiny |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "table.md").read_text() == shown.stdout
    as_json = runner.invoke(app, [*given, "--json"])
    assert json.loads(as_json.output)["rows"][0]["resume"] == "same bits"
    broken(monkeypatch, lambda value: value * float("nan"))
    assert runner.invoke(app, given).exit_code == 1


def test_compiled_models_are_compared(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda model: seen.append(model) or model)
    assert try_out("compile")["compile"] == (True, "same bits")
    assert len(seen) == 1
    monkeypatch.setattr(torch, "compile", lambda model: lambda *given: 2.0 * model(*given))
    assert try_out("compile")["compile"][0] is False


@pytest.mark.gpu
def test_a_gpu_passes():
    found = smoke("cuda")
    assert found.failed == 0, found.markdown()
