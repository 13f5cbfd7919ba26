"""The terminal: tables that fit, keys that stay, exit codes, completion, hints, and files that the recorder wrote."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app, main
from lastiterate.commands._output import tell
from lastiterate.commands._table import show_table, shown
from lastiterate.experiments.integrations.snippets import SNIPPETS, snippet

LONG = "wsd:cooldown=0.2,kind=sqrt"
KEYS = Path(__file__).with_name("json_keys.json")
COMMANDS = {
    "bound": ["bound", LONG, "-n", "20"],
    "compare": ["compare", "linear", LONG, "-n", "20"],
    "optimal": ["optimal", "-n", "20"],
    "optimal --momentum": ["optimal", "-n", "1", "--momentum", "--starts", "1"],
    "design": ["design", "-n", "20", "--max-step", "0.1"],
    "continue": ["continue", "constant", "--n-prefix", "20", "-n", "20"],
    "worst-case": ["worst-case", "linear", "-n", "4"],
    "simulate": ["simulate", "absolute", "linear", LONG, "-n", "50"],
    "search": ["search", "rate", "-n", "20", "--shapes", "4", "--families", "cosine,two_point_spline"],
    "refine": ["refine", "NORMS", "--rule", "sgd", "-o", "schedule.json"],
    "anytime": ["anytime", "--from", "4", "--to", "8", "--compare"],
    "merge": ["merge", "constant", "-n", "24", "--every", "4", "--last", "6"],
    "figures --list": ["figures", "--list"],
    "doctor": ["doctor"],
    "replay": ["replay"],
    "plan": ["plan", "-n", "100"],
    "batch": ["batch", "LOG", "--tokens", "800"],
    "forecast": ["forecast", "LOG", "--law", "exact", "--bound"],
    "analyse": ["analyse", "LOG", "LOG", "--norm", "grad_norm_l2"],
    "sweep run": ["sweep", "run", "sweep.toml", "-j", "1"],
    "sweep status": ["sweep", "status"],
    "sweep export": ["sweep", "export", "runs.csv"],
    "replay --dry-run": ["replay", "digits_mlp", "--dry-run"],
}
GPU = {"gpu": ["gpu", "digits_logistic", "--device", "cpu", "--size", "tiny", "--check", "resume", "-n", "4"]}
AFTER = {"sweep status": "sweep run", "sweep export": "sweep run"}  # what has to run before
SWEEP = f"""
[[grid]]
target = "problem:absolute"
schedule = ["linear", "{LONG}"]
base_lr = [0.1, 1.0]
n_steps = 5
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run a command in an empty folder with a file of norms as the recorder writes it, on 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    norms = 2.0 - np.arange(50) / 50
    rows = "".join(f"{k},{3 * norm},{norm}\n" for k, norm in enumerate(norms))
    (tmp_path / "norms.csv").write_text(f"step,grad_norm_l1,grad_norm_l2\n{rows}")

    losses = "".join(f"{k + 1},0.1,{1 + 1 / (k + 1)},{norm},{1.5 * norm},8,2\n" for k, norm in enumerate(norms))
    (tmp_path / "log.csv").write_text(f"step,lr,loss,grad_norm_l2,grad_norm_first,batch,micro_batch\n{losses}")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    files = {"NORMS": "norms.csv", "LOG": "log.csv"}

    def run(*words):
        result = CliRunner().invoke(app, [files.get(word, word) for word in words])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_fits_80_columns(call, name):
    if name in AFTER:
        call(*COMMANDS[AFTER[name]])
    for line in call(*COMMANDS[name]).splitlines():
        assert len(line) <= 80 or " " not in line.split(": ", 1)[-1].strip(), line  # a name to type stays whole


@pytest.mark.parametrize("name", [*COMMANDS, pytest.param("gpu", marks=pytest.mark.slow)])
def test_json_keys_are_those_that_were_promised(call, name):
    if name in AFTER:
        call(*COMMANDS[AFTER[name]])
    document = json.loads(call(*{**COMMANDS, **GPU}[name], "--json"), parse_constant=pytest.fail)  # NaN is no JSON
    rows = document.pop("rows")
    found = {"document": sorted(document), "row": sorted({key for row in rows for key in row})}
    promised = json.loads(KEYS.read_text())
    assert found == promised[name], "keys are for machines: add, but rename or remove none without a release"
    assert all(key.isidentifier() for keys in found.values() for key in keys)


def test_wide_prints_one_table_with_every_column(call):
    narrow, wide = call("figures", "--list"), call("figures", "--list", "--wide")
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    assert "┃" in wide
    assert "┃" not in narrow


CELLS = st.one_of(
    st.none(),
    st.floats(allow_nan=False),
    st.integers(-(10**9), 10**9),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
)


@given(st.data(), st.integers(1, 9), st.integers(1, 4))
def test_no_width_breaks_a_word_or_a_number(data, n_columns, n_rows):
    names = [f"column{i} of many" for i in range(n_columns)]
    rows = [{name: data.draw(CELLS) for name in names} for _ in range(n_rows)]
    file = io.StringIO()
    show_table(Console(file=file, width=80), rows)
    printed = file.getvalue()
    for row in rows:
        for value in row.values():
            assert shown(value) in printed
    assert max(map(len, printed.splitlines()), default=0) <= 80


@given(st.data(), st.integers(1, 9), st.integers(1, 4))
def test_wide_has_a_line_for_every_row_with_all_its_cells(data, n_columns, n_rows):
    names = [f"column{i}" for i in range(n_columns)]
    rows = [{name: data.draw(CELLS) for name in names} for _ in range(n_rows)]
    console = Console(file=io.StringIO(), width=80)
    show_table(console, rows, wide=True)
    printed = [line.strip("│") for line in console.file.getvalue().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in line.split("│")] for line in printed] == [
        [shown(value) for value in row.values()] for row in rows
    ]
    assert console.width == 80


def test_a_failure_breaks_between_words_on_a_terminal_and_is_one_line_elsewhere(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    install = 'pip install "lastiterate[optimizers]"'
    text = f"the optimizer 'schedule_free_adamw' needs the package schedulefree; install it with: {install}"
    tell(text, label="error")
    assert capsys.readouterr().err == f"error: {text}\n"
    monkeypatch.setattr(Console, "is_terminal", property(lambda console: True))
    tell(text, label="error")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines) == f"error: {text}"
    assert install in lines[-1]  # to be pasted


@pytest.mark.parametrize("framework", SNIPPETS)
def test_code_to_be_pasted_fits_80_columns(framework):
    assert max(map(len, snippet(framework, "schedule.json", 100_000, "adam").splitlines())) <= 80


def test_version():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"lastiterate {li.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_knows_commands_and_options(shell):
    def complete(words):
        environment = {
            "_LASTITERATE_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": words,  # bash
            "COMP_CWORD": str(len(words.split()) - 1),
            "_TYPER_COMPLETE_ARGS": words,  # zsh and fish
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        return CliRunner().invoke(app, [], prog_name="lastiterate", env=environment).stdout

    assert "compare" in complete("lastiterate comp")
    assert "--steps" in complete("lastiterate compare --st")
    assert "--wide" in complete("lastiterate compare --wi")


def exit_of(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["lastiterate", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["compare", "linear", "-n", "5"], 0, ""),
        (["compare", "nonsense"], 2, "error: "),
        (["bound", "linear", "-G", "-1"], 2, "error: G: expected a positive"),
        (["optimal", "-G", "nowhere.csv"], 2, "--gradient"),
        (["compare", "--no-such-option"], 2, "No such option"),
        (["continue", "wrong.json", "-n", "3"], 2, "no field 'schema'"),
    ],
)
def test_exit_codes(monkeypatch, capsys, tmp_path, words, code, said):
    monkeypatch.chdir(tmp_path)
    Path("wrong.json").write_text("{}")
    left, errors = exit_of(monkeypatch, capsys, *words)
    assert left == code
    assert said in errors
    assert errors.count("error: ") <= 1


def test_interrupting_ends_with_130(monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(li.theory.rates.compare, "compare", interrupt)
    assert exit_of(monkeypatch, capsys, "compare")[0] == 130


def test_a_mistake_in_a_grid_is_told_once(tmp_path):
    sweep = tmp_path / "sweep.toml"
    sweep.write_text('[[grid]]\ntarget = "problem:absolute"\nbase_lr = "fast"\nseed = [0, 1, 2]\n')
    result = CliRunner().invoke(app, ["sweep", "run", str(sweep), "--store", str(tmp_path / "runs.db"), "-j", "1"])
    assert result.exit_code == 1
    assert result.stderr.count("base_lr: expected") == 1
    assert "and 2 more were rejected" in result.stderr


def test_the_failures_of_a_sweep_fit_and_its_status_tells_each_once(call, monkeypatch):
    Path("sweep.toml").write_text('[[grid]]\ntarget = "problem:nonsense"\nseed = [0, 1, 2]\n')
    monkeypatch.setattr(Console, "is_terminal", property(lambda console: True))
    told = CliRunner().invoke(app, ["sweep", "run", "sweep.toml", "-j", "1"]).stderr
    failure = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told[told.index('{"') :])
    assert max(map(len, failure.splitlines())) <= 80
    printed = " ".join(call("sweep", "status").split())
    assert printed.count("got nonsense") == 1
    assert "failures: 3 runs: InputError: problem: expected one of" in printed


FILES = {
    "optimal": (["optimal", "-n", "50", "-G", "NORMS"], lambda norms: li.optimal_schedule(50, G=norms).value),
    "design": (["design", "-n", "50", "-G", "NORMS"], lambda norms: li.optimal_schedule(50, G=norms).value),
    "continue": (
        ["continue", "constant", "--n-prefix", "20", "--base-lr", "0.1", "-n", "30", "-G", "NORMS"],
        lambda norms: li.optimal_continuation(np.full(20, 0.1), 30, G=norms).value,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_recorder_serves_as_gradient_bounds(call, name):
    words, expected = FILES[name]
    norms = np.loadtxt("norms.csv", delimiter=",", skiprows=1)[:, 2]
    found = json.loads(call(*words, "--json"))
    rates = [row["rate"] for row in found["rows"] if "rate" in row] + [found.get("rate")]
    assert any(rate == pytest.approx(expected(norms), rel=1e-6) for rate in rates if rate is not None)


@pytest.mark.parametrize(
    "words", [["refine", "NORMS", "--rule", "adam"], ["search", "rate", "--norms", "NORMS", "--shapes", "2"]]
)
def test_a_file_of_the_recorder_needs_no_column(call, words):
    extra = ["--families", "cosine", "-n", "20"] if words[0] == "search" else []
    assert call(*words, *extra)


WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "code",
    [
        "from lastiterate.torch import ScheduleLR",
        "import lastiterate as li; li.torch",
        "import lastiterate as li; li.replay",
        "import sys; sys.argv = ['lastiterate', 'replay', 'digits_logistic']; from lastiterate.cli import main; main()",
    ],
)
def test_what_needs_torch_says_how_to_get_it(code):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH + code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert 'pip install "lastiterate[torch]"' in done.stderr
