"""ScheduleLR against its definition, through checkpoints, and in the ways torch uses a scheduler."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.experiments.training.schedule import ScheduleLR
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules.files import write_schedule


def parameters(n=1):
    return [torch.nn.Parameter(torch.zeros(2)) for _ in range(n)]


def played(optimizer, scheduler, n_steps):
    rates = []
    for _ in range(n_steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=20), st.floats(1e-6, 10.0))
def test_learning_rates_are_base_lr_times_steps_and_hold(steps, base_lr):
    optimizer = torch.optim.SGD(parameters(), lr=base_lr)
    rates = played(optimizer, ScheduleLR(optimizer, steps), len(steps) + 3)
    assert rates == [[base_lr * step] for step in [*steps, *[steps[-1]] * 3]]


def test_groups_keep_their_ratio():
    first, second = parameters(2)
    optimizer = torch.optim.AdamW([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 0.25}])
    assert played(optimizer, ScheduleLR(optimizer, [1.0, 0.5]), 2) == [[1.0, 0.25], [0.5, 0.125]]


def test_checkpoint_loads_with_weights_only_and_resumes_bitwise():
    steps = np.random.default_rng(0).uniform(size=40)

    def fresh():
        optimizer = torch.optim.SGD(parameters(), lr=0.3, momentum=0.9)
        return optimizer, ScheduleLR(optimizer, steps)

    optimizer, scheduler = fresh()
    whole = played(optimizer, scheduler, 40)
    optimizer, scheduler = fresh()
    played(optimizer, scheduler, 17)
    buffer = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    optimizer, scheduler = fresh()
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    assert played(optimizer, scheduler, 23) == whole[17:]


def test_last_epoch_resumes_without_a_checkpoint():
    optimizer = torch.optim.SGD(parameters(), lr=1.0)
    for group in optimizer.param_groups:
        group["initial_lr"] = 1.0
    scheduler = ScheduleLR(optimizer, [1.0, 0.8, 0.6, 0.4], last_epoch=1)
    assert played(optimizer, scheduler, 2) == [[0.6], [0.4]]


def test_state_of_a_run_with_other_steps_is_refused():
    optimizer = torch.optim.SGD(parameters(), lr=1.0)
    scheduler = ScheduleLR(optimizer, [1.0, 0.5])
    played(optimizer, scheduler, 2)
    with pytest.raises(InputError, match=r"steps\[1\] = 0.4.*steps\[1\] = 0.5"):
        ScheduleLR(torch.optim.SGD(parameters(), lr=1.0), [1.0, 0.4]).load_state_dict(scheduler.state_dict())
    with pytest.raises(InputError, match="state of a ScheduleLR"):
        scheduler.load_state_dict({"last_epoch": 1})


@given(
    st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12),
    st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12),
    st.integers(0, 15),
)
def test_a_run_goes_on_with_another_schedule_that_agrees_so_far(steps, others, taken):
    """Against one schedule that holds both parts from the beginning."""
    optimizer = torch.optim.SGD(parameters(), lr=0.5, momentum=0.9)
    scheduler = ScheduleLR(optimizer, steps)
    played(optimizer, scheduler, taken)
    so_far = [steps[min(k, len(steps) - 1)] for k in range(taken)]
    extended = [*so_far, *others]
    later = torch.optim.SGD(parameters(), lr=0.5, momentum=0.9)
    extension = ScheduleLR(later, extended)
    later.load_state_dict(optimizer.state_dict())
    extension.load_state_dict(scheduler.state_dict())
    assert extension.get_last_lr() == [0.5 * others[0]]
    assert played(later, extension, len(others) + 1) == [[0.5 * step] for step in [*others, others[-1]]]
    if taken and so_far[0] != so_far[0] + 1.0:
        with pytest.raises(InputError, match=r"steps\[0\]"):
            ScheduleLR(torch.optim.SGD(parameters(), lr=0.5), [so_far[0] + 1.0, *extended]).load_state_dict(
                scheduler.state_dict()
            )


def test_an_optimal_continuation_extends_a_finished_run():
    import lastiterate as li

    done, base_lr = li.schedules.constant(20), 0.1
    optimizer = torch.optim.SGD(parameters(), lr=base_lr)
    scheduler = ScheduleLR(optimizer, done)
    played(optimizer, scheduler, 20)
    more = li.optimal_continuation(prefix=base_lr * done, n_steps=10).steps / base_lr
    longer = ScheduleLR(torch.optim.SGD(parameters(), lr=base_lr), li.schedules.join(done, more))
    longer.load_state_dict(scheduler.state_dict())
    np.testing.assert_allclose(played(longer.optimizer, longer, 10), base_lr * more[:, None], rtol=1e-12)


def test_the_repr_says_where_it_is():
    optimizer = torch.optim.SGD(parameters(), lr=1.0)
    assert repr(ScheduleLR(optimizer, [1.0, 0.5])) == "ScheduleLR(2 steps, at 0)"


def test_works_inside_sequential_and_chained_schedulers():
    optimizer = torch.optim.SGD(parameters(), lr=1.0)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    main = ScheduleLR(optimizer, [0.9, 0.7, 0.5])
    joined = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, main], milestones=[2])
    assert played(optimizer, joined, 5) == [[0.5], [0.75], [0.9], [0.7], [0.5]]


def test_lr_as_a_tensor():
    optimizer = torch.optim.Adam(parameters(), lr=torch.tensor(0.5))
    scheduler = ScheduleLR(optimizer, [1.0, 0.5])
    optimizer.step()
    scheduler.step()
    assert float(optimizer.param_groups[0]["lr"]) == 0.25


@pytest.mark.parametrize("steps", [[], [-1.0], [float("nan")], [[1.0]], ["a"]])
def test_bad_steps(steps):
    with pytest.raises(InputError, match="steps"):
        ScheduleLR(torch.optim.SGD(parameters(), lr=1.0), steps)


def test_a_file_of_steps_sets_the_learning_rates_themselves(tmp_path):
    file = write_schedule([0.3, 0.2, 0.1], tmp_path / "s.json", kind="steps")
    optimizer = torch.optim.SGD(parameters(), lr=7.0)
    assert played(optimizer, ScheduleLR.from_file(optimizer, file), 5) == [[0.3], [0.2], [0.1], [0.1], [0.1]]
    first, second = parameters(2)
    equal = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=7.0)
    assert played(equal, ScheduleLR.from_file(equal, file), 2) == [[0.3, 0.3], [0.2, 0.2]]


def test_a_file_of_steps_refuses_groups_that_differ(tmp_path):
    first, second = parameters(2)
    optimizer = torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 0.25}])
    with pytest.raises(InputError, match="groups"):
        ScheduleLR.from_file(optimizer, write_schedule([0.3], tmp_path / "s.json", kind="steps"))
    multipliers = ScheduleLR.from_file(optimizer, write_schedule([0.5], tmp_path / "m.json"))
    assert multipliers.get_last_lr() == [0.5, 0.125]


def test_absolute_steps_resume_from_a_checkpoint(tmp_path):
    file = write_schedule([0.3, 0.2, 0.1], tmp_path / "s.json", kind="steps")
    optimizer = torch.optim.SGD(parameters(), lr=7.0)
    scheduler = ScheduleLR.from_file(optimizer, file)
    played(optimizer, scheduler, 1)
    other = torch.optim.SGD(parameters(), lr=7.0)
    again = ScheduleLR.from_file(other, file)
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(scheduler.state_dict())
    assert played(other, again, 2) == [[0.2], [0.1]]
    with pytest.raises(InputError, match=r"steps\[0\]"):
        ScheduleLR(torch.optim.SGD(parameters(), lr=7.0), [0.3, 0.2, 0.1]).load_state_dict(scheduler.state_dict())


def test_weight_decay_follows_its_own_multipliers():
    from lastiterate.theory import schedules

    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    frozen = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.AdamW(
        [{"params": [weight]}, {"params": [frozen], "weight_decay": 0.0}], 0.1, weight_decay=0.5
    )
    steps = schedules.linear(4)
    scheduler = ScheduleLR(optimizer, steps, weight_decay=schedules.weight_decay(steps))
    expected = 1.0
    for k in range(6):
        weight.grad = torch.zeros_like(weight)
        held = min(k, 3)
        expected *= 1 - 0.1 * steps[held] * 0.5 * steps[held]
        optimizer.step()
        state = scheduler.state_dict()
        scheduler.step()
        assert weight.item() == pytest.approx(expected, rel=1e-12)
    assert optimizer.param_groups[1]["weight_decay"] == 0.0
    scheduler.load_state_dict(state)
    assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(0.5 * steps[3])
    with pytest.raises(InputError, match="weight_decay"):
        ScheduleLR(optimizer, steps, weight_decay=[1.0])
    with pytest.raises(InputError, match="has weight decay"):
        ScheduleLR(torch.optim.Rprop([weight]), steps, weight_decay=steps)


ABSOLUTE = {
    "optimal_schedule": lambda: li.optimal_schedule(4, D=3.0),
    "optimal_continuation": lambda: li.optimal_continuation([0.5, 0.5], 4),
    "design_schedule": lambda: li.design_schedule(4, max_step=0.2),
    "anytime_schedule": lambda: li.anytime_schedule(3, 6),
    "optimal_batches": lambda: li.optimal_batches(np.ones(8), np.ones(8), tokens=64, max_batch=32),
    "replan": lambda: li.replan([0.5, 0.4], np.ones(3), 3),
}


@pytest.mark.parametrize("made", ABSOLUTE.values(), ids=ABSOLUTE)
def test_a_result_with_steps_is_played_as_learning_rates(made):
    found = made()
    optimizer = torch.optim.SGD(parameters(), lr=7.0)
    rates = played(optimizer, ScheduleLR(optimizer, found), len(found.steps))
    np.testing.assert_array_equal(np.ravel(rates), found.steps)


def test_a_refinement_is_played_as_multipliers_and_keeps_the_groups_apart():
    refined = li.refine([3.0, 2.0, 1.0], "sgd")
    first, second = parameters(2)
    groups = [{"params": [first], "lr": 1.0}, {"params": [second], "lr": 0.25}]
    optimizer = torch.optim.SGD(groups)
    rates = played(optimizer, ScheduleLR(optimizer, refined), 3)
    np.testing.assert_array_equal(rates, np.outer(refined.steps, [1.0, 0.25]))
    with pytest.raises(InputError, match=r"optimizer.*one learning rate"):
        ScheduleLR(torch.optim.SGD([{**groups[0], "lr": 1.0}, groups[1]]), li.optimal_schedule(3))


def test_what_a_file_holds_is_played_as_it_says(tmp_path):
    optimizer = torch.optim.SGD(parameters(), lr=10.0)
    for kind, base in (("steps", 1.0), ("multiplier", 10.0)):
        file = li.schedules.read_schedule_file(write_schedule([0.5, 0.25], tmp_path / "s.json", kind=kind))
        scheduler = ScheduleLR(torch.optim.SGD(parameters(), lr=10.0), file)
        assert scheduler.get_last_lr() == [0.5 * base]
    assert ScheduleLR(optimizer, li.optimal_schedule(3), absolute=False).get_last_lr()[0] == pytest.approx(3.75)


def test_a_text_needs_its_length():
    optimizer = torch.optim.SGD(parameters(), lr=1.0)
    assert ScheduleLR(optimizer, "wsd:cooldown=0.5", n_steps=4).steps == li.schedules.wsd(4, cooldown=0.5).tolist()
    with pytest.raises(InputError, match=r"n_steps: expected the number of steps of the schedule 'linear', got None"):
        ScheduleLR(optimizer, "linear")
    with pytest.raises(InputError, match="schedule: expected one of constant"):
        ScheduleLR(optimizer, "linaer", n_steps=4)
    with pytest.raises(InputError, match="n_steps"):
        ScheduleLR(optimizer, [1.0, 0.5], n_steps=3)


def test_a_recorder_is_no_schedule_although_it_has_steps():
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(InputError, match="steps"):
        ScheduleLR(optimizer, li.torch.GradNormRecorder(model))
