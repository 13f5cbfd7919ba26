"""Who sees a progress bar, and how the first compilation announces itself."""

import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

import lastiterate as li
from lastiterate.solvers.design.momentum import VARIANTS
from lastiterate.solvers.search.objectives import TheoryRate
from lastiterate.theory.base import first_use, progress


@pytest.mark.parametrize(
    ("terminal", "jupyter", "widgets", "watched"),
    [(True, False, False, True), (False, False, True, False), (False, True, True, True), (False, True, False, False)],
)
def test_a_bar_shows_in_a_terminal_and_in_jupyter_with_its_widgets(monkeypatch, terminal, jupyter, widgets, watched):
    monkeypatch.setattr(progress, "find_spec", lambda name: object() if widgets else None)
    console = Console(force_terminal=terminal, force_jupyter=False)
    console.is_jupyter = jupyter
    assert progress.is_watched(console) is watched


LONG = {
    "search": lambda: li.search(TheoryRate(8), ["constant", "cosine"], n_shapes=4),
    "design": lambda: li.design_schedule(8, max_ratio=1.5),
    "momentum": lambda: li.design_momentum(2, variants=VARIANTS[:1], starts=1, iterations=1),
    "open horizon": lambda: li.anytime_schedule(2, 5),
    "worst case": lambda: li.worst_case(li.step_matrix.sgd([0.1] * 25)),
    "worst case of another solver": lambda: li.worst_case(li.step_matrix.sgd([0.1] * 2), solver="SCS"),
    "replan": lambda: li.replan([0.1, 0.1], [1.0, 1.0], 2, np.eye(2)),
    "replan under a cap": lambda: li.replan([0.1], [1.0], 1, np.eye(1), cap=0.05),
    "fit": lambda: li.fit_losses(
        [li.LossLog(np.full(40, 0.1), np.arange(5, 41, 5), 3.0 + 1.0 / np.arange(1, 9))], law="exact"
    ),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.filterwarnings("ignore")
def test_a_long_call_shows_a_bar_where_somebody_watches(name, monkeypatch, capsys):
    monkeypatch.setattr(Console, "is_terminal", property(lambda console: True))
    LONG[name]()
    assert "━" in capsys.readouterr().err


def test_a_bar_inside_another_stays_hidden(capsys):
    with progress.progress_bar("outer", 2, shown=True), progress.progress_bar("inner", 2, shown=True) as update:
        update(advance=1)
    assert "outer" in (printed := capsys.readouterr().err)
    assert "inner" not in printed
    with progress.progress_bar("after", 1, shown=True):
        pass
    assert "after" in capsys.readouterr().err


def test_what_is_said_of_a_compilation_has_a_line_of_its_own_above_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(Console, "is_terminal", property(lambda console: True))
    monkeypatch.setenv("COLUMNS", "80")
    with progress.progress_bar("work", 3):
        first_use._tell()
    without_colours = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert first_use.TEXT in re.split(r"[\r\n]+", without_colours)
    assert len(first_use.TEXT) <= 80


COMPILE = """
import numba, rich.console, sys
import lastiterate.theory.base.first_use as first_use
first_use._tell = lambda: print("told")
from lastiterate.theory.base.jit import compiled
compiled.cache_clear()
def double(x): return 2 * x
double.__module__ = sys.argv[1]
from numba import njit
first_use.announce_compilation()
for values in (1, 1.0):  # two compilations, one line
    njit(double)(values)
"""


@pytest.mark.parametrize(("module", "lines"), [("lastiterate.theory.something", 1), ("somebody.else", 0)])
def test_the_first_compilation_is_told_once(module, lines):
    done = subprocess.run([sys.executable, "-c", COMPILE, module], capture_output=True, text=True, check=True)
    assert done.stdout.count("told") == lines, done.stdout
