"""Change the sources a little, many times over, and see which changes no test notices: `make mutate`.

Survivors stand in `tests/survivors.toml`, each with the reason why it changes no result; one that is not listed there
is printed and makes this fail. Changes of words in messages are left out. An hour on two cores, so this is run by hand.
"""

import argparse
import difflib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
LISTED = ROOT / "tests" / "survivors.toml"
ROOMS = {
    "rates": (
        ["theory/rates/closed_form.py", "theory/rates/sgd.py", "theory/rates/varying.py"],
        ["theory/rates/test_sgd.py", "theory/rates/test_varying.py", "theory/rates/test_one_pass.py"],
    ),
    "refinement": (
        ["theory/optimal/refinement.py", "theory/optimal/refinement_limits.py"],
        ["theory/optimal/test_refinement.py", "theory/optimal/test_refinement_limits.py"],
    ),
    "checker": (["theory/certificates/check_certificate.py"], ["theory/certificates"]),
    "statistics": (["experiments/statistics/"], ["experiments/statistics"]),
}
SETTINGS = """
[tool.pytest.ini_options]
pythonpath = ["tests"]
addopts = ["--import-mode=importlib", "-m", "not slow and not figures and not gpu"]
markers = ["slow", "figures", "gpu"]
[tool.mutmut]
source_paths = {sources}
also_copy = ["src/lastiterate", "tests"]
pytest_add_cli_args_test_selection = {tests}
"""


def survivors(room: str, workers: int) -> list[tuple[str, str]]:
    """Return (function, change) of every change in a room that its tests did not notice."""
    sources, tests = ROOMS[room]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("src", "tests"):  # links become folders
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
        settings = SETTINGS.format(
            sources=[f"src/lastiterate/{path}" for path in sources], tests=[f"tests/{path}" for path in tests]
        )
        (folder / "pyproject.toml").write_text(settings)
        subprocess.run([MUTMUT, "run", "--max-children", str(workers)], cwd=folder, check=True)
        listed = subprocess.run([MUTMUT, "results"], cwd=folder, check=True, capture_output=True, text=True).stdout
        names = [
            line.split(":")[0].strip() for line in listed.splitlines() if line.endswith((": survived", ": no tests"))
        ]
        return [found for found in (_change(folder, name) for name in names) if found is not None]


def _change(folder: Path, name: str) -> tuple[str, str] | None:
    """Return the function and the changed lines of a survivor; None where only the words of an error differ."""
    shown = subprocess.run([MUTMUT, "show", name], cwd=folder, check=True, capture_output=True, text=True).stdout
    lines = [line for line in shown.splitlines() if re.match(r"[-+](?![-+])", line)]
    old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    if "raise " in old or "InputError(" in old or _words(old) == _words(new):
        return None
    function = re.sub(r"x[_ǁ]|__mutmut_\d+$", "", name.removeprefix("lastiterate.")).replace("ǁ", ".")
    return function, f"{old} -> {new}"


def _words(line: str) -> str:
    """Return a line without the contents of its texts."""
    return re.sub(r"""(["'])(?:(?!\1).)*\1""", '""', line)


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for changes of the sources that no test notices.")
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), choices=[*ROOMS, []], help="by default all of them")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    known = {(entry["function"], entry["change"]) for entry in tomllib.loads(LISTED.read_text())["survivor"]}
    found = {entry for room in chosen.rooms for entry in survivors(room, chosen.workers)}
    unknown = sorted(found - known)
    for function, change in unknown:
        nearest = difflib.get_close_matches(change, [listed for name, listed in known if name == function], 1)
        print(f"{function}\n    {change}" + (f"\n    listed: {nearest[0]}" if nearest else ""))
    print(f"{len(found)} survivors, {len(unknown)} of them not in {LISTED.relative_to(ROOT)}")
    sys.exit(bool(unknown))


if __name__ == "__main__":
    main()
