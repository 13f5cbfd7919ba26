"""Every figure in quick mode: drawn, its theory and regression targets met, its published ones reported as they are."""

from pathlib import Path

import pytest

from lastiterate.paper_figures.figures.table import all_figures
from lastiterate.paper_figures.run import make_figures

# what theory predicts for trained networks is a result like a published ordering, reported and not demanded
PREDICTIONS = ("forecast-weight-norms", "deep-learning")
RECORDED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.mark.figures
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", all_figures())
def test_figure_is_drawn_and_what_is_ours_holds(name, folder):
    data = RECORDED if all_figures()[name].needs.startswith("--data") else None
    if data is not None and not data.is_dir():
        pytest.skip(f"no recorded runs in {data}")
    (outcome,) = make_figures([name], folder, data=data, progress=False)
    assert (folder / f"{name}.png").stat().st_size > 5_000
    assert outcome.checks
    # whether a published ordering shows at these sizes is a result, not a demand: the page reports it
    reported = ("published", "theory") if name in PREDICTIONS else ("published",)
    ours = [check for check in outcome.checks if check.kind not in reported]
    assert not [f"{check.claim}: {check.measured}" for check in ours if not check.passed]
