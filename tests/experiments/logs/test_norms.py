"""Reading gradient norms from every kind of log, whole and broken."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

import lastiterate as li
from lastiterate.experiments.integrations.snippets import snippet
from lastiterate.experiments.logs.norms import NormsWarning, read_norms
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules.files import read_schedule, write_schedule

VALUES = [4.0, 3.0, 2.0, 1.0]


def csv_file(folder, text, name="log.csv"):
    file = folder / name
    file.write_text(text)
    return file


def wandb_export(folder, values):
    rows = "".join(f'"{k}","{v}","{v}","{v}"\n' for k, v in enumerate(values))
    header = '"Step","run one - sched/gnorm_l1","run one - sched/gnorm_l1__MIN","run one - sched/gnorm_l1__MAX"\n'
    return csv_file(folder, header + rows)


@pytest.mark.parametrize(
    "text",
    [
        "4\n3\n2\n1\n",
        "0,4\n1,3\n2,2\n3,1\n",
        "step,grad_norm\n0,4\n1,3\n2,2\n3,1\n",
        "loss,Step,grad_norm\n9,0,4\n9,1,3\n9,2,2\n9,3,1\n",
        "step,grad_norm,loss\n0,4,1\n1,3,\n2,2,1\n3,1,\n",
        "step,grad_norm\n0,4\n0,\n1,3\n2,2\n\n3,1\n",
        "\ufeffstep,grad_norm\r\n0,4\r\n1,3\r\n2,2\r\n3,1\r\n",
        "Wall time,Step,Value\n1.5,0,4\n2.5,1,3\n3.5,2,2\n4.5,3,1\n",
        "step,grad_norm\n0,4\n1,3\n2,7\n2,2\n3,1\n",
    ],
    ids=["bare", "pairs", "named", "other columns", "blank others", "blank norm", "bom", "tensorboard csv", "resumed"],
)
def test_csv(tmp_path, text):
    assert read_norms(csv_file(tmp_path, text)).norms.tolist() == VALUES


def test_wandb_export_leaves_out_the_ends_and_keeps_the_horizon(tmp_path):
    file = wandb_export(tmp_path, range(1, 11))
    log = read_norms(file)
    assert log.norms.tolist() == list(range(3, 9))
    assert log.horizon == 10
    assert li.refine(log, rule="sgd").steps.size == 10
    assert read_norms(file, trim=0).norms.tolist() == list(range(1, 11))


def test_numpy_files(tmp_path):
    np.save(tmp_path / "norms.npy", np.array(VALUES))
    assert read_norms(tmp_path / "norms.npy").norms.tolist() == VALUES
    np.savez(tmp_path / "log.npz", grad_norm=np.array(VALUES), loss=np.ones(4), step=np.arange(4))
    assert read_norms(tmp_path / "log.npz").norms.tolist() == VALUES


def test_jsonl(tmp_path):
    lines = [json.dumps({"step": k, "loss": 1.0, "grad_norm": v, "tag": "a"}) for k, v in enumerate(VALUES)]
    assert read_norms(csv_file(tmp_path, "\n".join(lines), "log.jsonl")).norms.tolist() == VALUES


def test_trainer_state_brings_its_horizon(tmp_path):
    history = [{"step": 10 * k, "epoch": 0.1, "grad_norm": v, "learning_rate": 1e-3} for k, v in enumerate(VALUES, 1)]
    history.append({"step": 40, "train_loss": 1.0, "train_runtime": 3.0})
    document = {"max_steps": 40, "global_step": 40, "log_history": history}
    log = read_norms(csv_file(tmp_path, json.dumps(document), "trainer_state.json"))
    assert log.norms.tolist() == VALUES
    assert log.horizon == 40
    assert li.refine(log, rule="adam").steps.size == 40


def test_json_history(tmp_path):
    document = {"history": {"train": {"iter": [1, 2, 3, 4], "grad_norm": VALUES}, "val": {"iter": [4], "loss": [0.5]}}}
    log = read_norms(csv_file(tmp_path, json.dumps(document), "run.json"))
    assert log.column == "train/grad_norm"
    assert log.norms.tolist() == VALUES


def event_folder(folder, n_steps):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step in range(n_steps):
        values = [
            Summary.Value(tag="train/loss", simple_value=1.0),
            Summary.Value(tag="train/grad_norm", simple_value=1.0 + step),
        ]
        writer.add_event(Event(step=step, wall_time=float(step), summary=Summary(value=values)))
    writer.close()
    return folder


def test_tensorboard_keeps_more_than_ten_thousand_points(tmp_path):
    log = read_norms(event_folder(tmp_path, 10_500))
    np.testing.assert_array_equal(log.norms, np.arange(1.0, 10_501.0))


def test_truncated_event_file_is_an_error(tmp_path):
    (file,) = event_folder(tmp_path, 20).glob("*tfevents*")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"truncated at byte .*record"):
        read_norms(file)


def test_irregular_steps_by_rows_and_by_steps(tmp_path):
    file = csv_file(tmp_path, "step,grad_norm\n0,8\n1,4\n3,1\n")
    rows = read_norms(file, positions="rows")
    assert rows.positions is None
    assert rows.horizon == 4
    assert any("irregular" in note for note in rows.notes)
    steps = read_norms(file)
    assert steps.positions is not None
    assert li.refine(steps, rule="sgd", smoothing=0.0).smoothed.round(12).tolist() == [8.0, 4.0, 2.0, 1.0]


def test_clipped_norms_warn(tmp_path):
    values = [1.0] * 5 + [0.1 * k for k in range(1, 10)]
    with pytest.warns(NormsWarning, match="before clipping"):
        read_norms(csv_file(tmp_path, "\n".join(map(str, values))))
    read_norms(csv_file(tmp_path, "\n".join(["2.5"] * 20)))


def test_hole_is_an_error_unless_bridged(tmp_path):
    rows = [k for k in range(1000) if not 400 <= k < 600]
    file = csv_file(tmp_path, "step,grad_norm\n" + "".join(f"{k},{math.exp(-k / 1000)}\n" for k in rows))
    with pytest.raises(InputError, match="gap from step 399 to 600"):
        read_norms(file)
    bridged = li.refine(read_norms(file, drop_bad=True), rule="sgd", smoothing=0.0)
    np.testing.assert_allclose(bridged.smoothed, np.exp(-np.arange(1000) / 1000), rtol=1e-12)


@pytest.mark.parametrize("bad", ["nan", "inf", "0", "-1"])
def test_bad_norms_are_an_error_unless_dropped(tmp_path, bad):
    file = csv_file(tmp_path, f"step,grad_norm\n0,4\n1,{bad}\n2,2\n")
    with pytest.raises(InputError, match=r"--drop-bad.*grad_norm = .* at step 1 "):
        read_norms(file)
    assert read_norms(file, drop_bad=True).norms.tolist() == [4.0, 2.0]


@pytest.mark.parametrize(
    ("text", "name", "named"),
    [
        ("", "log.csv", "empty"),
        ("step,loss\n0,1\n1,2\n", "log.csv", "column of gradient norms.*'loss'"),
        ("step,norm_l1,norm_l2\n0,1,2\n", "log.csv", "'norm_l1', 'norm_l2'"),
        ("step,norm\n0,1\n1,abc\n", "log.csv", "line 3, column 'norm': 'abc'"),
        ("step,norm\n0,1\n1,1,2\n", "log.csv", "line 3: 3 cells"),
        ("step,norm\nx,1\n", "log.csv", "line 2, column 'step': 'x'"),
        ("step,norm\nnan,1\n1,2\n", "log.csv", "steps"),
        ("step,norm\n0,\n1,\n", "log.csv", "without a value"),
        ("norm,norm\n0,1\n", "log.csv", "repeated names"),
        ("{", "log.json", "valid JSON"),
        ('{"a": 1}', "log.json", "log_history"),
        ('{"grad_norm": 1}\n{"grad_norm": "x"}', "log.jsonl", "record 2.*grad_norm': 'x'"),
        ("[1]", "log.json", "record 1"),
        ("x", "log.pkl", "a log ending in"),
        ("x", "log.npy", "NumPy file"),
    ],
)
def test_broken_logs_say_what_is_wrong_and_where(tmp_path, text, name, named):
    with pytest.raises(InputError, match=named):
        read_norms(csv_file(tmp_path, text, name))


def test_missing_file_and_unknown_column(tmp_path):
    with pytest.raises(InputError, match="existing log file"):
        read_norms(tmp_path / "none.csv")
    file = csv_file(tmp_path, "step,norm_l1,norm_l2\n0,1,2\n")
    assert read_norms(file, column="norm_l2").norms.tolist() == [2.0]
    with pytest.raises(InputError, match="'norm_l1', 'norm_l2'"):
        read_norms(file, column="norm")


def test_object_arrays_are_not_unpickled(tmp_path):
    np.save(tmp_path / "bad.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled"):
        read_norms(tmp_path / "bad.npy")


@pytest.mark.parametrize("ending", [".json", ".csv", ".npy"])
def test_schedule_files_keep_every_bit(tmp_path, ending):
    steps = np.random.default_rng(0).uniform(size=50)
    file = write_schedule(steps, tmp_path / f"schedule{ending}", {"source": "test"})
    np.testing.assert_array_equal(read_schedule(file), steps)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_schedule_json_schema(tmp_path):
    document = json.loads(write_schedule([1.0, 0.5], tmp_path / "s.json", {"source": "x"}).read_text())
    assert document == {
        "schema": 1,
        "kind": "multiplier",
        "horizon": 2,
        "values": [1.0, 0.5],
        "provenance": {"source": "x"},
    }


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{}", "no field 'schema'"),
        ('{"schema": 2, "kind": "multiplier", "values": [1]}', "schema 2"),
        ('{"schema": 1, "kind": "multiplier", "horizon": 3, "values": [1]}', "horizon 3"),
        ('{"schema": 1, "kind": "multiplier", "horizon": 1, "values": [-1]}', "values"),
        ("x", "JSONDecodeError"),
    ],
)
def test_broken_schedule_files(tmp_path, content, named):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(InputError, match=named):
        read_schedule(tmp_path / "s.json")


def test_nothing_is_written_for_bad_steps(tmp_path):
    with pytest.raises(InputError):
        write_schedule([1.0, math.nan], tmp_path / "s.json")
    with pytest.raises(InputError, match="existing folder"):
        write_schedule([1.0], tmp_path / "none" / "s.json")
    assert list(tmp_path.iterdir()) == []


def test_snippet_for_torch_runs(tmp_path):
    import torch

    file = write_schedule([1.0, 0.5], tmp_path / "s.json")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    names = {"optimizer": optimizer}
    exec(snippet("torch", file, 2).replace("scheduler.step()\n", "optimizer.step()\nscheduler.step()\n"), names)
    assert optimizer.param_groups[0]["lr"] == 1.0


@pytest.mark.slow  # the import alone takes seconds
def test_snippet_for_hf_runs(tmp_path):
    pytest.importorskip("transformers", exc_type=ImportError)
    import torch

    file = write_schedule([1.0, 0.5], tmp_path / "s.json")
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(snippet("hf", file, 2), names)
    trainer = object.__new__(names["ScheduledTrainer"])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    trainer.lr_scheduler, trainer.optimizer = None, optimizer
    scheduler = trainer.create_scheduler(2, optimizer)
    assert scheduler.get_last_lr() == [2.0]


@pytest.mark.slow  # the import alone takes seconds
def test_snippet_for_lightning_runs(tmp_path):
    pytest.importorskip("lightning", exc_type=ImportError)
    import torch

    file = write_schedule([1.0, 0.5], tmp_path / "s.json")
    names: dict[str, object] = {}
    exec(snippet("lightning", file, 2), names)
    module = torch.nn.Linear(1, 1)
    module.base_lr = 0.5
    configured = names["configure_optimizers"](module)
    assert configured["lr_scheduler"]["interval"] == "step"
    assert configured["lr_scheduler"]["scheduler"].get_last_lr() == [0.5]


def test_snippet_for_optax_runs(tmp_path):
    pytest.importorskip("optax", exc_type=ImportError)
    file = write_schedule([1.0, 0.5], tmp_path / "s.json")
    names: dict[str, object] = {"base_lr": 3.0}
    exec(snippet("optax", file, 2), names)
    assert [float(names["learning_rate"](k)) for k in (0, 1, 5)] == [3.0, 1.5, 1.5]


def test_read_norms_takes_a_string_path(tmp_path):
    assert len(read_norms(str(Path(csv_file(tmp_path, "1\n2\n"))))) == 2
