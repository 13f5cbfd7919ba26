"""The report in a browser: nothing is cut on a phone, a tablet and a desk, and text can be read by day and night."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from browser import browse, needs_browser

import lastiterate as li

WIDTHS = (320, 768, 1280)
SCHEMES = ("light", "dark")

pytestmark = needs_browser

MEASURE = Path(__file__).with_name("measure.js").read_text()


def measured(page, folder):
    """Measure a page in a frame for every width and colour scheme, in one run of the browser."""
    (folder / "page.html").write_text(page.replace("</body>", f"<script>{MEASURE}</script></body>"))
    frames = "".join(
        f'<iframe src="page.html#{width}-{scheme}" style="border:0;width:{width}px;height:900px;color-scheme:{scheme}">'
        "</iframe>"
        for width in WIDTHS
        for scheme in SCHEMES
    )
    show = "document.body.appendChild(document.createElement('pre')).textContent = e.data"
    listen = f"addEventListener('message', e => {{ {show} }})"
    (folder / "host.html").write_text(f"<!doctype html><body><script>{listen}</script>{frames}")
    printed = browse(
        folder, "--window-size=1400,900", "--virtual-time-budget=4000", "--dump-dom", f"file://{folder}/host.html"
    )
    found = [json.loads(unescape(text)) for text in re.findall(r"<pre>(.*?)</pre>", printed, re.DOTALL)]
    return {(each["width"], each["scheme"]): each for each in found}


@pytest.fixture(scope="module")
def report(replayed, tmp_path_factory):
    return li.write_report(replayed, tmp_path_factory.mktemp("report") / "report.html").read_text()


@pytest.fixture(scope="module")
def looks(report, tmp_path_factory):
    return measured(report, tmp_path_factory.mktemp("browser"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_cut_and_everything_can_be_read(looks, width, scheme):
    look = looks[width, scheme]
    assert look["dark"] == (scheme == "dark")
    assert look["page"] <= width
    assert look["outside"] == []
    assert look["texts"] > 100
    assert look["faint"] == []


def test_a_page_that_is_cut_and_faint_is_noticed(tmp_path):
    broken = "<!doctype html><body style='background:#fff'><div style='width:900px;color:#999'>pale</div></body>"
    looks = measured(broken, tmp_path)
    assert looks[320, "light"]["page"] > 320
    assert "pale" in str(looks[320, "light"]["outside"])
    assert "pale" in str(looks[1280, "light"]["faint"])


def test_print_takes_few_pages(report, tmp_path):
    (tmp_path / "page.html").write_text(report)
    browse(
        tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", f"file://{tmp_path}/page.html"
    )
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) <= 5
