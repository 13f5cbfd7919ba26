"""Change the sources a little, many times over, and see which changes no test notices: `make mutate`.

Survivors stand in `tests/survivors.toml`, by the reason why they change no result; one that is not listed there is
printed and makes this fail. Changes of words in messages are left out. Half an hour, so this is run by hand.

mutmut makes the changes, all of them in one copy of the sources, where a variable says which one counts. The tests are
collected once; every change gets a fork, in which the tests that reach its function run until one fails. Nothing hides
a change: decorated functions, which mutmut leaves alone, get their decorators in assignments behind them, and nothing
is compiled (`NUMBA_DISABLE_JIT`), so that no kernel stands in for the function it was made of.
"""

import argparse
import ast
import contextlib
import difflib
import gc
import json
import math
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LISTED = ROOT / "tests" / "survivors.toml"


class Room(NamedTuple):
    """What is changed, and the tests that should notice: quick ones, since a survivor meets them all."""

    sources: list[str]
    tests: list[str]


ROOMS = {
    "rates": Room(
        ["theory/rates/closed_form.py", "theory/rates/sgd.py", "theory/rates/varying.py"],
        ["theory/rates/test_recursions.py", "theory/rates/test_rates_vs_scan.py"],
    ),
    "refinement": Room(
        ["theory/optimal/refinement.py", "theory/optimal/refinement_limits.py"],
        ["theory/optimal/test_refinement_definitions.py", "theory/optimal/test_limit_definitions.py"],
    ),
    "checker": Room(
        ["theory/certificates/check_certificate.py"],
        [f"theory/certificates/test_checker{part}.py" for part in ("", "_sgd", "_step_matrix")],
    ),
    "statistics": Room(
        ["experiments/statistics/*.py"],
        [
            f"experiments/statistics/test_{part}_definitions.py"
            for part in ("contrast", "difference", "rank", "response")
        ],
    ),
}
TESTS_RUN_AS = """
[pytest]
pythonpath = tests
addopts = --import-mode=importlib -p no:cacheprovider -m "not slow and not figures and not gpu"
markers =
    slow
    figures
    gpu
"""
OPTIONS = ["-q", "--no-header", "-s", "--tb=native", "--assert=plain"]  # nobody reads why a test fails
SIGXCPU = 24


class Change(NamedTuple):
    """One small change: the name that mutmut gives it, and the function with the lines before and after."""

    name: str
    text: str


def survivors(room: Room, workers: int) -> list[Change]:
    """Return every change in a room that its tests do not notice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changes = prepare(folder, room)
        # another process: every room imports its own copy
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            noticed = pool.apply(try_all, (folder, room, [change.name for change in changes], workers))
    return [change for change in changes if change.name not in noticed]


def prepare(folder: Path, room: Room) -> list[Change]:
    """Copy sources and tests into a folder and return the changes that the copy holds."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    for part in ("src", "tests"):  # links become folders
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    (folder / "pytest.ini").write_text(TESTS_RUN_AS)
    package = folder / "src" / "lastiterate"
    found: list[Change] = []
    for file in (file for pattern in room.sources for file in sorted(package.glob(pattern))):
        mutated = mutate_file_contents(file.name, undecorated(file.read_text()))
        file.write_text(mutated.code)
        module = ".".join(file.relative_to(folder / "src").with_suffix("").parts).removesuffix(".__init__")
        lines = mutated.code.splitlines()

        def source(name: str, lines: list[str] = lines, spans: Any = mutated.line_span_by_function_name) -> list[str]:
            return [line.replace(name, "f") for line in lines[spans[name].start - 1 : spans[name].end]]

        for name in mutated.mutant_names:
            stem = name.partition("__mutmut_")[0]
            text = difference(source(f"{stem}__mutmut_orig"), source(name))
            if text is not None:
                function = re.sub("^x[_ǁ]", "", stem).replace("ǁ", ".")
                found.append(Change(f"{module}.{name}", f"{module.removeprefix('lastiterate.')}.{function}: {text}"))
    return found


def undecorated(source: str) -> str:
    """Return a source whose decorated functions are plain, with ``f = decorator(f)`` behind each."""
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: node.lineno, reverse=True):
        words = [ast.unparse(decorator) for decorator in node.decorator_list]
        if words and not {"overload", "staticmethod", "classmethod"} & set(words):
            assert node.end_lineno is not None
            text = f"{' ' * node.col_offset}{node.name} = {'('.join(words)}({node.name}{')' * len(words)}"
            lines.insert(node.end_lineno, text)
            del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "\n".join(lines) + "\n"


def difference(before: list[str], after: list[str]) -> str | None:
    """Return the lines that differ, old and new; None where only the words of a message do."""
    lines = [
        line for line in difflib.unified_diff(before, after, n=0, lineterm="") if not line.startswith(("--", "++"))
    ]
    old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    if re.search(r"\braise |InputError\(", old) or _without_words(old) == _without_words(new):
        return None
    return f"{old} -> {new}"


def _without_words(line: str) -> str:
    """Return a line without texts of several words and without the message of a check."""
    line = re.sub(r"""f?(["'])(?:(?!\1).)*\1""", lambda text: '""' if " " in text[0] else text[0], line)
    return re.sub(r'^(need\(.*), (?:""|None)\)$', r"\1)", line)


def try_all(folder: Path, room: Room, names: list[str], workers: int) -> set[str]:
    """Return the changes that a test notices."""
    import pytest

    os.chdir(folder)
    sys.path.insert(0, str(folder / "src"))
    # the same examples every time, nothing compiled, and no plugins: what they add to every test costs more than a test
    os.environ.update(CI="1", NUMBA_DISABLE_JIT="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    trial = Trial(names, workers)
    tests = [f"tests/{path}" for path in room.tests]
    code = pytest.main([*OPTIONS, f"--basetemp={folder / 'tmp'}", *tests], plugins=[trial])
    if code != 0:
        sys.exit("the tests fail on sources without a change")
    return trial.noticed


class Trial:
    """A plugin of pytest that runs the collected tests in a fork for every change."""

    def __init__(self, names: list[str], workers: int) -> None:
        self.names, self.workers = names, workers
        self.noticed: set[str] = set()

    def pytest_configure(self) -> None:
        """Let examples that fail be: nobody reads them."""
        from hypothesis import Phase, settings

        settings.register_profile("mutation", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session: Any) -> bool:
        """Run the tests without a change, then those that reach it for every change, the quickest first."""
        session.config._tmp_path_factory.getbasetemp()  # one for all forks
        seconds, reached = self._clean_run(session.items)
        items = sorted(session.items, key=lambda item: seconds[item.nodeid])
        running: dict[int, str] = {}
        gc.freeze()  # what forks share stays shared
        for index, name in enumerate(self.names):
            if index % 100 == 0:
                print(f"{index} of {len(self.names)} changes, {len(self.noticed)} noticed", flush=True)
            tests = [item for item in items if item.nodeid in reached.get(name.partition("__mutmut_")[0], [])]
            if tests:
                if len(running) >= self.workers:
                    self._wait(running)
                limit = 5 + math.ceil(5 * sum(seconds[item.nodeid] for item in tests))
                running[_fork(tests, name, limit)] = name
        while running:
            self._wait(running)
        return True

    def _wait(self, running: dict[int, str]) -> None:
        pid, status = os.wait()
        name = running.pop(pid)
        if os.waitstatus_to_exitcode(status) in (1, -SIGXCPU):
            self.noticed.add(name)

    def _clean_run(self, items: list[Any]) -> tuple[dict[str, float], dict[str, list[str]]]:
        """Return the seconds of every test and the tests that reach each function; in a fork, which leaves no trace."""
        told = Path("clean.json")
        pid = os.fork()
        if pid == 0:
            with _last_words():
                told.write_text(json.dumps(_record(items)))
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            sys.exit("the tests fail on sources without a change")
        return json.loads(told.read_text())


def _record(items: list[Any]) -> tuple[dict[str, float], dict[str, list[str]]]:
    from mutmut.mutation.trampoline import set_mutant_under_test
    from mutmut.state import state

    seconds: dict[str, float] = {}
    reached: dict[str, list[str]] = {}
    for item in items:
        set_mutant_under_test("stats")
        state()._stats.clear()
        assert _passes(item), item.nodeid
        for function in state()._stats:
            reached.setdefault(function, []).append(item.nodeid)
        set_mutant_under_test("")
        start = time.process_time()
        assert _passes(item), item.nodeid
        seconds[item.nodeid] = time.process_time() - start
    return seconds, reached


def _fork(tests: list[Any], name: str, limit: int) -> int:
    """Run tests with a change in a process of its own, which ends with 1 if one of them fails."""
    from mutmut.mutation.trampoline import set_mutant_under_test

    pid = os.fork()
    if pid == 0:
        with _last_words():
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            set_mutant_under_test(name)
            os._exit(0 if all(map(_passes, tests)) else 1)
    return pid


@contextlib.contextmanager
def _last_words() -> Iterator[None]:
    """End a fork in any case: it must not go on as its parent would."""
    try:
        yield
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(99)


def _passes(item: Any) -> bool:
    from _pytest.runner import runtestprotocol

    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for changes of the sources that no test notices.")
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), choices=[*ROOMS, []], help="by default all of them")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    os.chdir(ROOT)  # mutmut looks for sources where it is
    kinds = tomllib.loads(LISTED.read_text())["kind"]
    known = {change for kind in kinds for change in kind["changes"]}
    found = {change.text for room in chosen.rooms for change in survivors(ROOMS[room], chosen.workers)}
    unknown = sorted(found - known)
    for change in unknown:
        nearest = difflib.get_close_matches(change, known - found, 1, 0.9)
        print(change + (f"\n    listed: {nearest[0]}" if nearest else ""))
    print(f"{len(found)} survivors, {len(unknown)} of them not in {LISTED.relative_to(ROOT)}")
    sys.exit(bool(unknown))


if __name__ == "__main__":
    main()
