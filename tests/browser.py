"""A browser without a window, for the tests that look at pages."""

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"no Chromium on the path (looked for {', '.join(NAMES)}): pages were not looked at"
)


def browse(folder: Path, *arguments: str) -> str:
    """Run the browser without a window, a network or a profile of its own, and return what it printed."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout
