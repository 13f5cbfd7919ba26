"""A device tried out in minutes: every workload trains a few steps in every manner, and one table says what came out.

Full sizes train on random numbers of the right shapes, so that no data are needed.
"""

import gc
import platform
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from lastiterate.experiments.workloads.outline import RandomBatches, outline
from lastiterate.experiments.workloads.protocol import SIZES, Workload, known_workloads, load_workload
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import check_choice, check_count, check_positive
from lastiterate.theory.schedules import linear

from .distributed import check_device
from .environment import reserve_workspace, tensor_cores
from .footprint import footprint
from .train import RunResult, TrainingSettings, train

__all__ = ["CHECKS", "Cell", "Smoke", "smoke"]

_GIB = 2.0**30
_FEW = 6  # steps of a full size, after its plain run
_NEAR = {"exact": 1e-3, "half": 0.1}  # relative differences of losses that pass, by what is compared


@dataclass(frozen=True)
class Cell:
    """Outcome of one check: whether it passed (None: not tried), and in words."""

    passed: bool | None
    text: str


@dataclass(frozen=True)
class _Case:
    """One workload in one size, and what its plain run gave."""

    name: str
    size: str
    workload: Workload
    settings: TrainingSettings
    n_steps: int
    plain: RunResult | None = None

    def run(self, *, settings: TrainingSettings | None = None, **options: Any) -> RunResult:
        schedule = linear(self.n_steps)
        return train(
            self.workload, schedule, self.workload.base_lrs[0], 0, settings=settings or self.settings, **options
        )


@result
class Smoke(Result):
    """What a device can do.

    Attributes
    ----------
    facts : dict of str to str
        Device, versions and roundings.
    cells : dict of (str, str, str) to Cell
        By workload, size and check.
    seconds : float
        Wall time in all.
    """

    _shown = ("passed", "failed", "untried")

    facts: dict[str, str]
    cells: dict[tuple[str, str, str], Cell]
    seconds: float

    @property
    def passed(self) -> int:
        """Number of checks that passed."""
        return self._count(True)

    @property
    def failed(self) -> int:
        """Number of checks that failed."""
        return self._count(False)

    @property
    def untried(self) -> int:
        """Number of checks for which there was no time, or that the device does not have."""
        return self._count(None)

    def _count(self, outcome: bool | None) -> int:
        return sum(cell.passed is outcome for cell in self.cells.values())

    def table(self) -> list[dict[str, str]]:
        """Return one row a workload and size, with the words of every check."""
        rows: dict[tuple[str, str], dict[str, str]] = {}
        for (name, size, check), cell in self.cells.items():
            rows.setdefault((name, size), {"workload": name, "size": size})[check] = cell.text
        return list(rows.values())

    def markdown(self) -> str:
        """Return facts, one table and the totals, as Markdown that can be pasted."""
        rows = self.table()
        lines = [f"* {name}: {value}" for name, value in self.facts.items()]
        lines += ["", f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
        lines += [f"| {' | '.join(text.replace('|', '/') for text in row.values())} |" for row in rows]
        total = f"{self.passed} passed, {self.failed} failed, {self.untried} not tried, in {self.seconds:.0f} s"
        return "\n".join([*lines, "", total])


def smoke(
    device: str = "cuda",
    *,
    workloads: Sequence[str] | None = None,
    sizes: Sequence[str] = SIZES,
    checks: Sequence[str] | None = None,
    minutes: float = 9.0,
    n_steps: int = 20,
    progress: bool | None = None,
) -> Smoke:
    """Try out a device: training, mixed precision, resumption, determinism, one process of DDP, compilation.

    Parameters
    ----------
    device : str
        ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"cpu"``.
    workloads : sequence of str, optional
        Default all bundled ones.
    sizes : sequence of {"tiny", "full"}
        Tiny sizes train on their data, full ones on random numbers of the same shapes.
    checks : sequence of str, optional
        Some of `CHECKS`; default all.
    minutes : float
        Time after which no further check begins; those left out are marked.
    n_steps : int
        Steps of the plain run, and of the other runs of tiny sizes; full sizes take 6 there.
    progress : bool, optional
        Whether to show a progress bar on standard error; default: if that is a terminal.

    Returns
    -------
    Smoke
        ``.markdown()`` is the table.

    Raises
    ------
    InputError
        For a device that is absent, or an unknown workload, size or check. What fails on the device is a cell of the
        table, no error.

    Examples
    --------
    >>> found = smoke("cpu", workloads=["digits_logistic"], sizes=["tiny"], checks=["resume", "determinism"])
    >>> found.failed, found.cells["digits_logistic", "tiny", "resume"].text
    (0, 'same bits')
    """
    found = check_device(device)
    reserve_workspace(found)  # before the first use of the device: the check of determinism needs it
    check_positive(minutes, "minutes")
    check_count(n_steps, "n_steps", minimum=2)
    names = [check_choice(name, "workload", known_workloads()) for name in workloads or known_workloads()]
    kinds = [check_choice(size, "size", SIZES) for size in sizes]
    wanted = [check_choice(check, "check", CHECKS) for check in checks or CHECKS]
    begin = time.monotonic()
    pairs = [(name, size) for size in kinds for name in names]
    cells = {(*pair, check): Cell(None, "-") for pair in pairs for check in (*CHECKS, "memory")}
    cases: dict[tuple[str, str], _Case] = {}
    todo = list(dict.fromkeys(["steps", *wanted]))
    with progress_bar("checks", len(todo) * len(pairs), shown=progress, unit="checks") as update:
        for check in todo:  # a check of all workloads before the next check: what is cut off are the last columns
            for pair in pairs:
                if time.monotonic() - begin > 60.0 * minutes:
                    cells[*pair, check] = Cell(None, "no time")
                elif check == "steps":
                    cells[*pair, "steps"], cells[*pair, "memory"] = _plain(*pair, device, n_steps, found, cases)
                elif pair in cases:
                    case, attempt = cases[pair], _CHECKS[check]
                    cells[*pair, check] = _tried(partial(attempt, case), found)
                update(advance=1)
    return Smoke(_facts(found), cells, time.monotonic() - begin)


def _plain(
    name: str, size: str, device: str, n_steps: int, found: torch.device, cases: dict[tuple[str, str], _Case]
) -> tuple[Cell, Cell]:
    """Train plainly; put the case among ``cases`` if that works; return the cells of speed and memory."""
    memory = Cell(None, "-")

    def attempt() -> Cell:
        nonlocal memory
        workload: Any = load_workload(name) if size == "tiny" else RandomBatches(outline(name, size=size))
        case = _Case(name, size, workload, TrainingSettings(device=device), n_steps)
        if found.type == "cuda":
            torch.cuda.reset_peak_memory_stats(found)
        run = case.run()
        if run.diverged_at is not None:
            return Cell(False, f"diverged at {run.diverged_at}")
        if found.type == "cuda":
            peak = torch.cuda.max_memory_allocated(found) / _GIB
            memory = Cell(True, f"{peak:.2f} GiB, foretold {footprint(outline(name, size=size)).memory / _GIB:.2f}")
        short = replace(case, n_steps=n_steps if size == "tiny" else min(n_steps, _FEW))
        again = short.run()  # warm now
        cases[name, size] = replace(short, plain=again)
        return Cell(True, f"{1000 * again.seconds / short.n_steps:.3g} ms")

    return _tried(attempt, found), memory


def _precision(precision: str) -> Callable[[_Case], Cell]:
    def check(case: _Case) -> Cell:
        run = case.run(settings=replace(case.settings, precision=precision))
        return _compared(case, run, "half")

    return check


def _resume(case: _Case) -> Cell:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "run.pt")
        case.run(checkpoint=file, stop_after=case.n_steps // 2)
        return _compared(case, case.run(checkpoint=file), "exact")


def _determinism(case: _Case) -> Cell:
    settings = replace(case.settings, deterministic=True)
    first, second = case.run(settings=settings), case.run(settings=settings)
    same = np.array_equal(first.losses, second.losses) and first.final == second.final
    return Cell(same, "same bits" if same else f"differs by {_difference(first, second):.1e}")


def _ddp(case: _Case) -> Cell:
    with _lone_group(torch.device(case.settings.device)):
        return _compared(case, case.run(), "exact")


def _compiled(case: _Case) -> Cell:
    torch.compiler.reset()
    return _compared(case, case.run(settings=replace(case.settings, compile=True)), "exact")


_CHECKS: dict[str, Callable[[_Case], Cell]] = {
    "bf16": _precision("bf16"),
    "fp16": _precision("fp16"),
    "resume": _resume,
    "determinism": _determinism,
    "DDP": _ddp,
    "compile": _compiled,
}
CHECKS = ("steps", *_CHECKS)
"""Names of the checks, cheap ones first."""


@contextmanager
def _lone_group(device: torch.device) -> Generator[None]:
    """A process group of one, in which models are replicated as in larger ones."""
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _tried(check: Callable[[], Cell], device: torch.device) -> Cell:
    """Carry out a check; what goes wrong on the device becomes its outcome."""
    try:
        return check()
    except torch.OutOfMemoryError:
        return Cell(False, "out of memory")
    except Exception as error:
        message = str(error).partition("\n")[0]
        refused = "deterministic" in message
        short = message.partition(" does not have")[0] if refused else f"{type(error).__name__}: {message}"
        return Cell(False, f"refused: {short}"[:80] if refused else short[:80])
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _compared(case: _Case, run: RunResult, tolerance: str) -> Cell:
    """Compare the losses of a run with those of the plain one."""
    assert case.plain is not None
    if run.diverged_at is not None:
        return Cell(False, f"diverged at {run.diverged_at}")
    if np.array_equal(run.losses, case.plain.losses) and run.final == case.plain.final:
        return Cell(True, "same bits")
    difference = _difference(run, case.plain)
    near = difference <= _NEAR[tolerance]
    return Cell(near, f"within {difference:.0e}" if near else f"differs by {difference:.1e}")


def _difference(run: RunResult, other: RunResult) -> float:
    """Largest difference of two curves of the loss, relative to their largest value."""
    return float(np.abs(run.losses - other.losses).max() / np.abs(other.losses).max())


def _facts(device: torch.device) -> dict[str, str]:
    facts = {"device": str(device), "torch": torch.__version__, "python": platform.python_version()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        memory = f"{properties.total_memory / _GIB:.0f} GiB"
        rounded = [name for name, yes in tensor_cores().items() if yes]
        facts |= {"device": f"{properties.name}, {memory}", "CUDA": str(torch.version.cuda)}
        facts["TF32"] = ", ".join(rounded) or "nowhere"
    return facts
