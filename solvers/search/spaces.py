"""What a search chooses from: the schedule families of arXiv 2603.10301 with the ranges of their parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_count
from lastiterate.theory.schedules import parse

__all__ = ["FreeShape", "Parameter", "SPACES", "Shape", "Space", "WIDE", "space_of"]


@dataclass(frozen=True)
class Parameter:
    """A shape parameter and its range; ``log`` draws it log-uniformly.

    A range without an upper end is drawn as low + u/(1 - u): its ends are u = 0 and u = 1, where the value is infinite,
    and half of the draws lie within 1 of ``low``.

    Examples
    --------
    >>> beta = Parameter("b", 0.0, np.inf)
    >>> [beta.from_unit(u) for u in (0.0, 0.5, 0.75, 1.0)], beta.to_unit(np.inf)
    ([0.0, 1.0, 3.0, inf], 1.0)
    """

    name: str
    low: float
    high: float
    log: bool = False

    def from_unit(self, u: float) -> float:
        """Map the unit interval to the range."""
        if np.isinf(self.high):
            return float(self.low + u / (1.0 - u)) if u < 1.0 else self.high
        if self.log:
            return float(self.low * (self.high / self.low) ** u)
        return float(self.low + (self.high - self.low) * u)

    def to_unit(self, value: float) -> float:
        """Map the range to the unit interval."""
        if np.isinf(self.high):
            return 1.0 if value == self.high else (value - self.low) / (1.0 + value - self.low)
        if self.log:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Shape:
    """A member of a family: a schedule of maximum 1 for every horizon.

    Examples
    --------
    >>> shape = Shape("cosine", (("warmup", 0.25),))
    >>> shape.text, shape.steps(4).round(3)
    ('cosine:warmup=0.25', array([1.   , 1.   , 0.586, 0.172]))
    """

    family: str
    values: tuple[tuple[str, float], ...] = ()
    fixed: tuple[tuple[str, float | str], ...] = ()

    @property
    def text(self) -> str:
        """The specification that `lastiterate.theory.schedules.parse` turns into the same steps."""
        options = ",".join(f"{name}={value}" for name, value in (*self.values, *self.fixed))
        return f"{self.family}:{options}" if options else self.family

    def steps(self, n_steps: int) -> Array:
        """Return the steps; parameters that leave no positive step give zeros, a run that stays at its start."""
        try:
            return parse(self.text, n_steps)
        except InputError as error:
            if error.argument == "shape":
                return np.zeros(n_steps)
            raise


@dataclass(frozen=True)
class FreeShape:
    """A schedule given step by step; it fits one horizon only.

    >>> FreeShape((1.0, 0.5)).text
    'values:1.0/0.5'
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Turn numbers of other types into floats, whose text is exact."""
        object.__setattr__(self, "values", tuple(map(float, self.values)))

    @property
    def text(self) -> str:
        """All values, separated by slashes."""
        return "values:" + "/".join(map(repr, self.values))

    def steps(self, n_steps: int) -> Array:
        """Return the values as float64[N]."""
        if n_steps != len(self.values):
            raise InputError("n_steps", n_steps, f"{len(self.values)}, the length of this schedule")
        return np.array(self.values)


AnyShape = Shape | FreeShape


@dataclass(frozen=True)
class Space:
    """A family as a unit cube: one coordinate a parameter.

    Examples
    --------
    >>> space = SPACES["generalised_rex"]
    >>> shape = space.shape([0.5, 0.0])
    >>> shape.text
    'generalised_rex:b=0.1,warmup=0.0'
    >>> space.point(shape)
    array([0.5, 0. ])
    """

    name: str
    parameters: tuple[Parameter, ...]
    family: str = ""
    fixed: tuple[tuple[str, float | str], ...] = ()

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    def shape(self, point: Sequence[float] | Array) -> Shape:
        """Return the member at a point of the unit cube; coordinates outside are an error."""
        if len(point) != self.dim or not all(0.0 <= u <= 1.0 for u in point):
            raise InputError("point", point, f"{self.dim} numbers between 0 and 1")
        pairs = zip(self.parameters, point, strict=True)
        values = tuple((p.name, p.from_unit(float(u))) for p, u in pairs)
        return Shape(self.family or self.name, values, self.fixed)

    def point(self, shape: Shape) -> Array:
        """Return the point of the unit cube at which `shape` gives this member."""
        values = dict(shape.values)
        own = shape.family == (self.family or self.name) and shape.fixed == self.fixed
        if not own or set(values) != {p.name for p in self.parameters}:
            raise InputError("shape", shape.text, f"a member of the family {self.name} with all its parameters")
        return np.clip([p.to_unit(values[p.name]) for p in self.parameters], 0.0, 1.0)

    def sample(self, count: int, seed: int, sampling: str = "sobol") -> Array:
        """Return random points of the unit cube, float64[count, dim].

        ``sobol`` draws a scrambled Sobol sequence: every point is uniform, as with ``uniform``, and together they
        leave no holes, so that the best of a few hundred depends less on the seed.
        """
        check_choice(sampling, "sampling", SAMPLINGS)
        n = check_count(count, "count")
        if sampling == "uniform":
            return np.random.default_rng(seed).random((n, self.dim))
        from scipy.stats import qmc

        return qmc.Sobol(self.dim, rng=np.random.default_rng(seed)).random_base2(max(n - 1, 1).bit_length())[:n]


SAMPLINGS = ("sobol", "uniform")

_WARMUP = Parameter("warmup", 0.0, 0.5)
_TWO_POINTS = tuple(Parameter(name, 0.0, 1.0) for name in ("x0", "y1", "dx1", "dx2", "dy2"))
_SMOOTH = tuple(Parameter(name, 0.0, 1.0) for name in ("y_start", "dx1", "y1", "dx2", "y2", "x_peak", "y_end"))

SPACES: dict[str, Space] = {
    space.name: space
    for space in (
        Space("constant", (_WARMUP,)),
        Space("cosine", (_WARMUP,)),
        Space("generalised_cosine", (Parameter("power", 0.1, 10.0, log=True), _WARMUP)),
        Space("circular", (Parameter("power", 0.01, 1.0), _WARMUP)),
        Space("generalised_rex", (Parameter("b", 0.01, 1.0, log=True), _WARMUP)),
        Space("two_point_linear", _TWO_POINTS),
        Space("two_point_spline", _TWO_POINTS),
        Space("smooth_nonmonotonic", _SMOOTH),
    )
}
"""Family -> search space. ``circular`` is the paper's square-root family."""

_Y_END = Parameter("y_end", 0.0, 1.0)
_FLOOR = Parameter("minimum", 0.0, 1.0)

WIDE: dict[str, Space] = {
    space.name: space
    for space in (
        Space("generalised_rex_wide", (Parameter("b", 0.0, np.inf), _WARMUP), "generalised_rex"),
        Space("cosine_y", (_FLOOR, _WARMUP), "cosine"),
        Space("generalised_cosine_y", (Parameter("power", 0.1, 10.0, log=True), _FLOOR, _WARMUP), "generalised_cosine"),
        Space("two_point_linear_y", (*_TWO_POINTS, _Y_END), "two_point_linear"),
        Space("two_point_spline_y", (*_TWO_POINTS, _Y_END), "two_point_spline"),
    )
}
"""Larger spaces, searched where they are named: beta in all of [0, inf], as the published family has it, and the
families whose last value is searched too."""


def space_of(text: str) -> Space:
    """Return the space that a text names, with what it fixes: ``cosine:warmup_kind=cosine``, ``two_point_linear_y``.

    >>> space_of("two_point_spline:minimum=0.1").shape([0.5] * 5).text
    'two_point_spline:x0=0.5,y1=0.5,dx1=0.5,dx2=0.5,dy2=0.5,minimum=0.1'
    """
    known = {**SPACES, **WIDE}
    name, options = parse_spec(text, "family")
    space = known[check_choice(name, "family", known)]
    if not options:
        return space
    searched = [p.name for p in space.parameters if p.name in options]
    if searched:
        raise InputError("family", text, f"options that are not searched, as {', '.join(searched)} is")
    found = replace(space, name=text, family=space.family or space.name, fixed=(*space.fixed, *options.items()))
    parse(found.shape([0.5] * space.dim).text, 8)  # names an option that the family does not have
    return found
