"""The tables of the momentum guide: every interval holds the program's value, and a row comes out the same again."""

import json
from pathlib import Path

import pytest

from lastiterate.paper_figures.machinery import interval_tables
from lastiterate.theory.rates.methods.dual_averaging import dual_averaging_rate
from lastiterate.theory.rates.methods.momentum import momentum_rate

PAGE = Path(__file__).parents[2] / "docs" / "momentum.md"


def rows():
    text = PAGE.read_text(encoding="utf-8").split(interval_tables.BEGIN)[1].split(interval_tables.END)[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in cells if row[0].isdigit()]


def test_every_interval_holds_the_value_of_the_program():
    found = rows()
    assert len(found) == 40 + 36
    for row in found:
        upper, lower = float(row[4]), float(row[6])
        assert lower <= upper
        if row[3]:
            assert lower * (1 - 1e-5) <= float(row[3]) <= upper * (1 + 1e-5)


def test_upper_bounds_are_as_narrow_as_the_guide_says():
    """Momentum 0.9 at 50 and 80 steps, dual averaging with growing scaling at 10 to 40, and beside R* at 1000."""
    found = rows()
    momentum = [row for row in found if row[0] in ("50", "80") and row[1] == "0.9"]
    growing = [row for row in found if row[0] in ("10", "20", "40") and row[2] in ("sqrt(k)", "k")]
    assert (len(momentum), len(growing)) == (8, 12)
    assert max(float(row[7]) for row in momentum) <= 1.001
    assert max(float(row[7]) for row in growing) <= 1.03
    assert max(float(row[8]) for row in found if row[0] == "1000") <= 1.21


@pytest.mark.slow
@pytest.mark.parametrize("family", interval_tables.FAMILIES)
@pytest.mark.parametrize("n_steps", [50, 80])
def test_momentum_is_within_a_thousandth_of_the_kept_program(n_steps, family):
    kept = json.loads(PAGE.with_name("momentum_sdp.json").read_text(encoding="utf-8"))
    rate = momentum_rate(interval_tables.momentum_case(n_steps, 0.9, family), 0.9)
    assert 1.0 - 1e-6 <= rate.value / kept[f"momentum {n_steps} 0.9 {family}"] <= 1.001


def test_the_values_beside_the_page_are_those_of_the_page():
    kept = json.loads(PAGE.with_name("momentum_sdp.json").read_text(encoding="utf-8"))
    shown = {f"{row[0]} {row[1]} {row[2]}": float(row[3]) for row in rows() if row[3]}
    assert len(kept) == len(shown)
    for name, value in kept.items():
        assert shown[name.removeprefix("momentum ").removeprefix("dual averaging ")] == pytest.approx(value, abs=6e-7)


def test_rows_come_out_the_same():
    by_case = {tuple(row[:3]): row for row in rows()}
    rate = momentum_rate(interval_tables.momentum_case(20, 0.9, "wsd"), 0.9)
    assert f"{rate.value:.6f}" == by_case["20", "0.9", "wsd"][4]
    rate = dual_averaging_rate(*interval_tables.dual_averaging_case(100, "sqrt(k)", "k"), search_limit=0)
    assert f"{rate.value:.5f}" == f"{float(by_case['100', 'sqrt(k)', 'k'][4]):.5f}"
