"""Every shape is its namesake of another library, step by step, first and last step included, or says how it differs.

The numbers of ``published_schedules.json`` were computed once with the code of the repositories that it names.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from schedule_references import DIFFERENT, N, installed, optax_rates, torch_rates

from lastiterate.theory import schedules
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules import FAMILIES

STORED = json.loads(Path(__file__).with_name("published_schedules.json").read_text())
PAGE = Path(__file__).parents[3] / "docs" / "schedules.md"
INSTALLED = list(installed())
WITHOUT_NAMESAKE = {
    "one_minus_sqrt": "the cooldown of `wsd:kind=sqrt`, over the whole run",
    "inverse_time": "textbook",
    "rex": "`generalised_rex` with b = 1/2",
    "infinite": "arXiv 2403.08763, equation of the cosine form; no released code",
    "fast_slow": "the formula of modded-nanogpt's pull request 351",
    "rewarm": "gpt-neox, its formula in the tests",
}
"""Families that no library of the table has, and what they are tested against."""


LONGER = {
    'powercool(n, power=1.2, flat=6 / 24, end=29 / 24, sampling="k/N")': (
        'powercool(n, power=1.2, flat=6 / 25, end=29 / 25, sampling="k/N")'
    )
}
"""Expressions of n = 24 steps whose lengths are fractions of the run, and the same shape for one step more."""
NO_SUCH_STEP = {
    "google/init2winit": "none: an array of n values",
    "KellerJordan/modded-nanogpt": "none: it asserts that the step is below n",
}
EXTRAPOLATED = {name for _, name, _ in INSTALLED if "OneCycleLR" in name}
"""Namesakes that continue the curve of their last phase past its end."""


def ours(expression, n=N):
    return np.asarray(eval(expression, {**vars(schedules), "np": np, "n": n}))


@pytest.mark.parametrize(("expression", "name", "play"), INSTALLED, ids=[f"{row[1]}" for row in INSTALLED])
def test_installed(expression, name, play):
    pytest.importorskip({"optax": "optax", "transformers": "transformers"}.get(name.split()[0], "torch"))
    theirs = play()
    here = ours(expression)
    assert here.shape == (N,)
    np.testing.assert_allclose(here, theirs[:N] / theirs[:N].max(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("row", STORED, ids=[row["namesake"] for row in STORED])
def test_published(row):
    theirs, here = np.array(row["values"][: row["n_steps"]]), ours(row["ours"], row["n_steps"])
    np.testing.assert_allclose(here / here.max(), theirs / theirs.max(), rtol=1e-12, atol=1e-14)


def past_the_end(expression, name, theirs, n):
    """Say what the namesake has at step n, the first that a schedule of n steps does not have.

    It is, to 1e-12, the next step of a shape that goes on, or the end of the profile, s = 1: the floor, or zero.
    """
    if theirs.size <= n:
        return NO_SUCH_STEP[name]
    value, here = theirs[n] / theirs[:n].max(), ours(expression, n)
    try:
        longer = ours(LONGER.get(expression, expression), n + 1)
    except InputError:  # the shape has a fixed length
        longer = here
    ahead = np.append(here, value * here.max())
    if longer.size == n + 1 and np.allclose(longer, ahead, rtol=1e-12, atol=1e-14):
        return f"goes on, {value:.4g}"
    floor = 0.0 if "override" in expression else float((re.findall(r"minimum=([\d.]+)", expression) or [0])[0])
    if name in EXTRAPOLATED:
        assert abs(value - floor) > 1e-4
        return f"extrapolates, {value:.4g}"
    np.testing.assert_allclose(value, floor / here.max(), rtol=1e-12, atol=1e-14)
    return f"ends, {value:.4g}"


def everything():
    """All rows: the expression, the namesake in words, a name for what it does past the end, its values."""
    for expression, name, play in INSTALLED:
        yield expression, f"{name.split()[0]} `{name.split(maxsplit=1)[1]}`", name, play(), N
    for row in STORED:
        link = f"[{row['repository']}](https://github.com/{row['repository']}/blob/{row['commit']}/{row['path']})"
        yield row["ours"], f"{link} `{row['namesake']}`", row["repository"], np.array(row["values"]), row["n_steps"]


@pytest.mark.parametrize("row", STORED, ids=[row["namesake"] for row in STORED])
def test_published_past_the_end(row):
    past_the_end(row["ours"], row["repository"], np.array(row["values"]), row["n_steps"])


@pytest.mark.parametrize(("expression", "name", "play"), INSTALLED, ids=[f"{row[1]}" for row in INSTALLED])
def test_installed_past_the_end(expression, name, play):
    pytest.importorskip({"optax": "optax", "transformers": "transformers"}.get(name.split()[0], "torch"))
    past_the_end(expression, name, play(), N)


@pytest.mark.parametrize("expression", DIFFERENT)
def test_what_is_said_to_differ_does(expression):
    pytest.importorskip("optax")
    _, build, _ = DIFFERENT[expression]
    theirs = optax_rates(build, N)
    assert theirs.argmax() == ours(expression).argmax() + 1
    np.testing.assert_allclose(theirs[6], 1.0, rtol=1e-12)


def test_every_family_has_a_namesake_or_says_why_not():
    texts = " ".join([*(row[0] for row in INSTALLED), *(row["ours"] for row in STORED)])
    missing = {
        name for name in FAMILIES if f'"{name}:' not in texts and f"{name}(" not in texts and f'"{name}"' not in texts
    }
    assert missing == set(WITHOUT_NAMESAKE)


def test_past_the_end_a_scheduler_here_holds_the_last_step_and_others_go_on():
    """What the documentation says of step N, the first that a schedule of N steps does not have."""
    torch = pytest.importorskip("torch")
    from lastiterate.experiments.training.schedule import ScheduleLR

    theirs = torch_rates(lambda s, o: s.CosineAnnealingLR(o, N, 0.1), N)
    held = torch_rates(lambda _, o: ScheduleLR(o, ours('parse("cosine:minimum=0.1,sampling=k/N", n)')), N)
    assert held[N] == held[N - 1] > theirs[N] == pytest.approx(0.1, rel=1e-12)
    assert torch is not None


def test_cooldowns_of_megatron():
    """Megatron-LM's exponential and minus_sqrt styles, 2 * 0.5^u - 1 and 1 - sqrt(u), by a loop over the formulas."""
    for kind, formula in {"exponential": lambda u: 2 * 0.5**u - 1, "1-sqrt": lambda u: 1 - u**0.5}.items():
        values = schedules.wsd(20, cooldown=8, kind=kind, minimum=0.1, sampling="k/N")
        expected = [1.0] * 12 + [0.1 + 0.9 * formula(j / 8) for j in range(8)]
        np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_fast_slow_by_its_phases():
    n = 3125
    rate = [0.03 * (t + 1) / 100 for t in range(100)] + [0.03] * 100
    rate += [0.03 + (0.006 - 0.03) * ((t - 200) / 1550) ** 0.6 for t in range(200, 1750)]
    rate += [0.006 * (1 - (t - 1750) / (n - 1750)) for t in range(1750, n)]
    np.testing.assert_allclose(schedules.fast_slow(n), np.array(rate) / 0.03, rtol=1e-12)


def test_infinite_by_its_phases():
    n, w, c, a = 40, 4, 12, 30
    rate = [t / w for t in range(w)]
    rate += [0.3 + 0.35 * (1 + np.cos(np.pi * (t - w) / (c - w))) for t in range(w, c)]
    rate += [0.3 if t <= a else 0.3 * (0.02 / 0.3) ** ((t - a) / (n - a)) for t in range(c, n)]
    values = schedules.infinite(n, warmup=4, fall=8, level=0.3, cooldown=10, minimum=0.02, sampling="k/N")
    np.testing.assert_allclose(values, rate, rtol=1e-12)


class TestPlayed:
    def test_from_torch_leaves_the_scheduler_where_it_is(self):
        torch = pytest.importorskip("torch")
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD(
            [{"params": [weight]}, {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.2}], lr=0.5
        )
        scheduler = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 3),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9),
            ],
            [3],
        )
        optimizer.step()
        scheduler.step()
        planned = schedules.from_torch(scheduler, 8)
        lived = []
        for _ in range(8):
            lived.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        np.testing.assert_allclose(planned, lived, rtol=1e-12)

    def test_from_torch_names_what_it_cannot_play(self):
        torch = pytest.importorskip("torch")
        kinds = torch.optim.lr_scheduler
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=torch.tensor(0.5))
        with pytest.raises(InputError, match="metric"):
            schedules.from_torch(kinds.ReduceLROnPlateau(optimizer), 3)
        two = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)], lr=0.5)
        scheduler = kinds.LambdaLR(two, [lambda k: 1.0, lambda k: 1.0 / (k + 1)])
        with pytest.raises(InputError, match="parameter group"):
            schedules.from_torch(scheduler, 3)
        np.testing.assert_allclose(schedules.from_torch(scheduler, 3, group=1), [0.5, 0.25, 0.5 / 3])
        with pytest.raises(InputError, match="OneCycleLR has"):
            schedules.from_torch(kinds.OneCycleLR(two, 1.0, 5, cycle_momentum=False), 7)
        with pytest.raises(InputError, match="a torch scheduler"):
            schedules.from_torch("linear", 3)

    def test_from_torch_with_a_learning_rate_that_is_a_tensor(self):
        torch = pytest.importorskip("torch")
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=torch.tensor(0.5, dtype=torch.float64))
        tensor = optimizer.param_groups[0]["lr"]
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 4)
        np.testing.assert_allclose(schedules.from_torch(scheduler, 4), [0.5, 0.375, 0.25, 0.125])
        assert optimizer.param_groups[0]["lr"] is tensor
        assert float(tensor) == 0.5

    def test_from_callable_plays_optax(self):
        optax = pytest.importorskip("optax")
        here = schedules.from_callable(optax.linear_schedule(0.3, 0.0, 10), 10)
        np.testing.assert_allclose(here, 0.3 * schedules.linear(10), rtol=1e-6)
        for bad in (lambda k: -1.0, lambda k: float("nan"), lambda k: [1.0, 2.0], 3):
            with pytest.raises(InputError, match="schedule"):
                schedules.from_callable(bad, 2)


def test_override_and_weight_decay():
    steps = schedules.cosine(100)
    left = schedules.override(steps, 60, 20)
    np.testing.assert_array_equal(left[:60], steps[:60])
    np.testing.assert_allclose(left[60:], steps[60] * (1 - np.arange(1, 21) / 21), rtol=1e-12)
    np.testing.assert_allclose(
        schedules.parse("constant:override=0.8", 100), schedules.wsd(100, cooldown=20), rtol=1e-12
    )
    for coupling, product in (("proportional", steps**2), ("independent", np.ones(100)), ("constant", steps)):
        decay = schedules.weight_decay(steps, coupling)
        np.testing.assert_allclose(steps * decay, product / (product.max() / (steps * decay).max()), rtol=1e-12)
    with pytest.raises(InputError, match="positive"):
        schedules.weight_decay([1.0, 0.0], "independent")


@pytest.mark.parametrize("sampling", ["(k+1)/(N+1)", "k/N"])
def test_floors_are_where_they_are_said_to_be(sampling):
    s = np.arange(1, 51) / 51 if sampling != "k/N" else np.arange(50) / 50
    profiles = {
        "linear": 1 - s, "polynomial": (1 - s) ** 2, "rex": (1 - s) / (1 - s / 2), "one_minus_sqrt": 1 - np.sqrt(s),
        "cosine": (1 + np.cos(np.pi * s)) / 2, "circular": np.sqrt(1 - s**2),
        "generalised_rex:b=3.0": (1 - s) / (1 + 2 * s), "wsd:cooldown=0.4": np.minimum((1 - s) / 0.4, 1.0),
        "power_decay:power=3,cooldown=0.5": np.minimum((1 - s) / 0.5, 1.0) ** 3,
    }  # fmt: skip
    for text, profile in profiles.items():
        values = 0.2 + 0.8 * profile
        joined = f"{text}{',' if ':' in text else ':'}minimum=0.2,sampling={sampling}"
        np.testing.assert_allclose(schedules.parse(joined, 50), values / values.max(), rtol=1e-12)


def rows_of_the_page():
    """The table of the documentation, from the rows that these tests hold."""
    yield "| here | there | step n there |"
    yield "|---|---|---|"
    for expression, shown, name, theirs, n in everything():
        yield f"| `{expression}` | {shown} | {past_the_end(expression, name, theirs, n)} |"


def test_the_page_prints_this_table():
    for package in ("torch", "transformers", "optax"):
        pytest.importorskip(package)
    text = PAGE.read_text()
    assert "\n".join(rows_of_the_page()) in text
    for name, why in WITHOUT_NAMESAKE.items():
        assert f"| `{name}` | {why} |" in text
    for expression, (name, _, how) in DIFFERENT.items():
        assert f"| `{expression}` | {name} | {how} |" in text
