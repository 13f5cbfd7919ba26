"""What a run is, as plain data: its specification, its key, and grids of them from Python or TOML."""

import dataclasses
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.files import existing_file
from lastiterate.theory.base.validation import MAX_SEED, InputError, check_count, check_positive

__all__ = ["RunSpec", "as_spec", "grid", "grid_fields", "read_sweep"]

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
KINDS = ("problem", "workload", "function")


@dataclass(frozen=True)
class RunSpec:
    """One run: what is trained, how, and with which random seed.

    Parameters
    ----------
    target : str
        ``"problem:NAME"`` for a convex problem of `li.simulate`, ``"workload:NAME"`` for a deep-learning workload,
        ``"function:package.module:name"`` or ``"function:path/to/file.py:name"`` for a function of the user's that
        takes a `RunSpec` and returns a mapping of numbers (metrics) and arrays (curves).
    method : str
        Method of the simulators or optimiser of the workload, with options: ``"sgd"``, ``"adam:beta1=0.95"``. The
        empty text means the target's default.
    schedule : str
        Schedule specification, see `lastiterate.theory.schedules.parse`.
    base_lr : float
        Base learning rate, the largest step.
    seed : int
        Random seed, at least 0.
    n_steps : int, optional
        Number of steps; the target's default if None.
    options : mapping
        Further options for the target, anything that JSON can express.

    Raises
    ------
    InputError
        If a field has the wrong type or cannot be written as JSON, which a key needs.

    Examples
    --------
    >>> spec = RunSpec("problem:absolute", schedule="linear", base_lr=0.1)
    >>> spec.key("1.0") == RunSpec.from_json(spec.to_json()).key("1.0"), spec.key("1.0") == spec.key("1.1")
    (True, False)
    """

    target: str
    method: str = ""
    schedule: str = "linear"
    base_lr: float = 1.0
    seed: int = 0
    n_steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Check every field and bring numbers to one form, so that equal runs have equal keys."""
        for name in ("target", "method", "schedule"):
            if not isinstance(getattr(self, name), str):
                raise InputError(name, getattr(self, name), "a text")
        kind, _, rest = self.target.partition(":")
        if kind not in KINDS or not rest.strip():
            raise InputError("target", self.target, f"kind:name with a kind among {', '.join(KINDS)}")
        set_field = object.__setattr__
        set_field(self, "base_lr", check_positive(self.base_lr, "base_lr", allow_zero=True))
        set_field(self, "seed", check_count(self.seed, "seed", minimum=0, maximum=MAX_SEED))
        if self.n_steps is not None:
            set_field(self, "n_steps", check_count(self.n_steps, "n_steps"))
        if not isinstance(self.options, Mapping):
            raise InputError("options", self.options, "a mapping of names to JSON values")
        set_field(self, "options", _plain(self.options, "options"))

    def __hash__(self) -> int:
        """Return a hash of the canonical text, because a mapping has none."""
        return hash(self.to_json())

    @property
    def kind(self) -> str:
        """The kind of target: "problem", "workload" or "function"."""
        return self.target.partition(":")[0]

    @property
    def name(self) -> str:
        """The target without its kind."""
        return self.target.partition(":")[2]

    def to_json(self) -> str:
        """Return the canonical JSON text: sorted names, no spaces, numbers at full precision."""
        # written once, and not by dataclasses.asdict, which copies deeply: most of the cost of adding many runs
        if "_json" not in self.__dict__:
            fields = {name: getattr(self, name) for name in _FIELDS}
            object.__setattr__(self, "_json", _CANONICAL.encode(fields))
        return self.__dict__["_json"]

    @classmethod
    def from_json(cls, text: str) -> "RunSpec":
        """Return the specification that `to_json` wrote, which was checked before it was written."""
        spec = object.__new__(cls)
        spec.__dict__.update(json.loads(text), _json=text)
        return spec

    def key(self, code_version: str) -> str:
        """Return 32 hexadecimal digits: a hash of the specification and of the version of the code."""
        return hashlib.sha256(f"{code_version}\n{self.to_json()}".encode()).hexdigest()[:32]


_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec))


def _plain(value: Any, name: str) -> Any:
    """Return ``value`` made of dict, list, str, int, float, bool and None only, or say which part is not."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(name, key, "names that are texts")
        return {key: _plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise InputError(name, value, "text, a finite number, true/false, or lists and mappings of these")


def as_spec(spec: RunSpec | Mapping[str, Any]) -> RunSpec:
    """Return ``spec`` as a `RunSpec`; the message for an unknown field lists the known ones."""
    if isinstance(spec, RunSpec):
        return spec
    if not isinstance(spec, Mapping):
        raise InputError("run", spec, "a RunSpec or a mapping of its fields")
    for name in spec:
        if name not in _FIELDS:
            raise InputError("run", name, f"fields among {', '.join(_FIELDS)}")
    if "target" not in spec:
        raise InputError("run", dict(spec), "a field 'target'")
    return RunSpec(**spec)


def grid(**axes: Any) -> list[RunSpec]:
    """Return every combination of the given fields; a list or tuple is an axis, anything else is fixed.

    The last axis varies fastest. ``options`` may hold axes of its own.

    Examples
    --------
    >>> runs = grid(target="problem:absolute", schedule=["linear", "cosine"], seed=range(3), n_steps=100)
    >>> len(runs), runs[1].schedule, runs[1].seed
    (6, 'linear', 1)
    """
    return [as_spec(fields) for fields in grid_fields(axes)]


def grid_fields(axes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the combinations as plain mappings, not yet checked, so that one bad value spoils its own runs only."""
    options = axes.get("options", {})
    if not isinstance(options, Mapping):
        raise InputError("options", options, "a mapping of names to values or lists of values")
    names = [("", name) for name in axes if name != "options"] + [("options", name) for name in options]
    values = [_axis(options[name] if group else axes[name], name) for group, name in names]
    combinations: list[dict[str, Any]] = []
    for choice in itertools.product(*values):
        fields: dict[str, Any] = {name: v for (group, name), v in zip(names, choice, strict=True) if not group}
        inner = {name: v for (group, name), v in zip(names, choice, strict=True) if group}
        combinations.append({**fields, "options": inner} if inner else fields)
    return combinations


def _axis(value: Any, name: str) -> Sequence[Any]:
    if isinstance(value, Mapping) and set(value) == {"start", "stop", "num"}:  # logarithmic, as base rates are
        low, high = check_positive(value["start"], f"{name}.start"), check_positive(value["stop"], f"{name}.stop")
        return [float(x) for x in np.geomspace(low, high, check_count(value["num"], f"{name}.num"))]
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim else [value.item()]
    if isinstance(value, list | tuple | range):
        if not len(value):
            raise InputError(name, value, "at least one value")
        return value
    return [value]


def read_sweep(path: str | Path) -> list[dict[str, Any]]:
    """Read the runs of a TOML file: tables ``[[grid]]`` (or one ``[grid]``) of axes and ``[[run]]`` of single runs.

    ``base_lr = {start = 1e-3, stop = 1, num = 7}`` is a logarithmic axis. The runs are returned as mappings that
    `run_sweep` checks one by one.

    Raises
    ------
    InputError
        If the file is missing, is not TOML, or has tables other than ``grid`` and ``run``.
    """
    file = existing_file(path, "sweep file", "a readable TOML file")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("sweep file", f"{file} ({error.strerror})", "a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError("sweep file", f"{file} ({error})", "valid TOML") from error
    unknown = set(content) - {"grid", "run"}
    if unknown or not content:
        raise InputError("sweep file", f"{file} with {sorted(unknown) or 'nothing'}", "tables 'grid' and 'run' only")
    runs: list[dict[str, Any]] = []
    for axes in _tables(content.get("grid", []), "grid"):
        runs += grid_fields(axes)
    return runs + [dict(run) for run in _tables(content.get("run", []), "run")]


def _tables(value: Any, name: str) -> Iterable[Mapping[str, Any]]:
    tables = [value] if isinstance(value, Mapping) else value
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise InputError(name, value, f"a table [{name}] or tables [[{name}]]")
    return tables
