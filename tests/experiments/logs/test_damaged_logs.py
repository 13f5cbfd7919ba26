"""Random bytes, flipped bits, cuts and swapped columns: right numbers or a typed error, and no other traceback."""

import gzip
import json
import warnings

import numpy as np
import pytest

from lastiterate.experiments.logs.norms import read_norms
from lastiterate.theory.base.validation import InputError

N = 40
NORMS = (2.0 + np.sin(np.arange(N))).round(6)


def csv_text():
    return "step,loss,grad_norm\n" + "".join(f"{10 * k},{1.0 / (k + 1)!r},{float(NORMS[k])!r}\n" for k in range(N))


def write_csv(folder):
    return one(folder / "log.csv", csv_text().encode())


def write_quoted(folder):
    head = '"Step","run - grad_norm","run - grad_norm__MIN","run - grad_norm__MAX"\n'
    rows = "".join(f'"{10 * k}","{v}","{v}","{v}"\n' for k, v in enumerate(NORMS))
    return one(folder / "wandb.csv", (head + rows).encode())


def write_semicolons(folder):
    return one(folder / "log2.csv", csv_text().replace(",", ";").replace(".", ",").encode())


def write_packed(folder):
    return one(folder / "log.csv.gz", gzip.compress(csv_text().encode(), mtime=0))


def write_jsonl(folder):
    lines = [json.dumps({"step": 10 * k, "loss": 1.0, "grad_norm": v}) for k, v in enumerate(NORMS.tolist())]
    return one(folder / "log.jsonl", "\n".join(lines).encode())


def write_state(folder):
    history = [{"step": 10 * k + 10, "grad_norm": v} for k, v in enumerate(NORMS.tolist())]
    document = {"max_steps": 400, "global_step": 400, "log_history": history}
    return one(folder / "trainer_state.json", json.dumps(document).encode())


def write_npy(folder):
    np.save(folder / "g.npy", NORMS)
    return folder / "g.npy"


def write_npz(folder):
    np.savez_compressed(folder / "g.npz", grad_norm=NORMS, step=10 * np.arange(N))
    return folder / "g.npz"


def write_events(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for file in folder.glob("events/*"):
        file.unlink()
    writer = EventFileWriter(str(folder / "events"))
    for step, value in enumerate(NORMS):
        summary = Summary(value=[Summary.Value(tag="grad_norm", simple_value=value)])
        writer.add_event(Event(step=10 * step, wall_time=1.0, summary=summary))
    writer.close()
    (file,) = (folder / "events").iterdir()
    return file


def write_parquet(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    parquet.write_table(pa.table({"step": 10 * np.arange(N), "grad_norm": NORMS}), folder / "g.parquet")
    return folder / "g.parquet"


def one(file, content):
    file.write_bytes(content)
    return file


WRITERS = [write_csv, write_quoted, write_semicolons, write_packed, write_jsonl, write_state, write_npy, write_npz]
WRITERS += [write_events, write_parquet]

CHECKED = {write_events, write_packed, write_npz}
"""Formats with checksums: whatever is read must be right."""


def mutated(content, rng):
    kind = rng.integers(5)
    data = bytearray(content)
    at = int(rng.integers(len(data)))
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at : at + 8] = rng.bytes(8)
    elif kind == 3:
        del data[at : at + int(rng.integers(1, 30))]
    else:
        return rng.bytes(int(rng.integers(0, 600)))
    return bytes(data)


def attempts(write, folder, n_mutations, salvage):
    file = write(folder)
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_mutations):
            data = mutated(content, rng)
            file.write_bytes(data)
            try:
                yield data, read_norms(file, column="grad_norm" if file.suffix != ".npy" else None, salvage=salvage)
            except InputError:
                yield data, None


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("n_mutations", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_damage_is_an_error_that_says_where(write, n_mutations, tmp_path):
    whole = read_norms(write(tmp_path), trim=0)
    for data, log in attempts(write, tmp_path, n_mutations, salvage=False):
        if log is not None and write in CHECKED and len(data):
            # a cut between two records leaves the file of a run that stopped there
            expected = whole.norms[: log.norms.size] if write is write_events else whole.norms
            np.testing.assert_array_equal(log.norms, expected)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("n_mutations", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_salvage_never_raises_anything_else(write, n_mutations, tmp_path):
    whole = read_norms(write(tmp_path), trim=0)
    for _, log in attempts(write, tmp_path, n_mutations, salvage=True):
        if log is not None and write is write_events:
            assert set(log.norms) <= set(whole.norms)
            assert log.norms.size == N or log.notes


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_columns_in_another_order_are_found_by_name_and_under_wrong_names_refused(order, tmp_path):
    rows = [line.split(",") for line in csv_text().splitlines()]
    swapped = "\n".join(",".join(row[i] for i in order) for row in rows)
    np.testing.assert_array_equal(read_norms(one(tmp_path / "a.csv", swapped.encode())).norms, NORMS)
    wrong = "\n".join([",".join(rows[0]), *(",".join(row[i] for i in order) for row in rows[1:])])
    if order.index(0) != 0:
        with pytest.raises(InputError):
            read_norms(one(tmp_path / "b.csv", wrong.encode()))


def test_one_damaged_record_of_an_event_file_costs_that_record(tmp_path):
    file = write_events(tmp_path)
    data = bytearray(file.read_bytes())
    position = 0
    for _ in range(20):
        position += 16 + int.from_bytes(data[position : position + 8], "little")
    data[position + 14] ^= 0xFF
    file.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"damaged record at byte \d+ of \d+ \(record 21\)"):
        read_norms(file)
    log = read_norms(file, salvage=True, drop_bad=True)
    assert log.norms.size == N - 1
    assert "record 21" in " ".join(log.notes)
    data[position] ^= 0x7F  # now its length is wrong as well
    file.write_bytes(bytes(data))
    assert read_norms(file, salvage=True).norms.size == N - 1
