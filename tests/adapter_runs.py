"""The same small regression trained by hand, by the Trainer, by Lightning, by accelerate and by optax.

Each function plays ``steps`` up to update ``until``, writes a checkpoint into ``folder``, and goes on from the one in
``resume`` if that is given. Micro-batches divide batches of eight rows; momentum or Adam make a resume depend on the
optimizer's state.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import lastiterate as li

BATCH = 8


class Played(NamedTuple):
    """Final weights, the learning rate of each update, and the recorded L2 norms by update."""

    weights: np.ndarray
    lrs: list[float]
    norms: np.ndarray


class Regression(torch.nn.Module):
    """A model in the manner of the Hugging Face library: it returns its loss."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, inputs, labels):
        return {"loss": torch.nn.functional.mse_loss(self.linear(inputs)[:, 0], labels)}


def rows(count=64):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(count, 3)).astype(np.float32)
    return [{"inputs": x, "labels": np.float32(5.0 * x.sum())} for x in inputs]


def loader(accumulate):
    return torch.utils.data.DataLoader(rows(16 * BATCH), batch_size=BATCH // accumulate)


class Stateful:
    """Batches that know where they are: from others Lightning begins an epoch anew when it resumes inside it."""

    def __init__(self, accumulate):
        self.batches, self.next = list(loader(accumulate)), 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        while self.next < len(self.batches):
            self.next += 1
            yield self.batches[self.next - 1]

    def state_dict(self):
        return {"next": self.next}

    def load_state_dict(self, state):
        self.next = state["next"]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy().copy()


def package(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, exc_type=ImportError)


def plain_torch(folder, steps, *, until, resume=None, accumulate=1):
    torch.manual_seed(0)
    model = Regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler, recorder = li.torch.ScheduleLR(optimizer, steps), li.torch.GradNormRecorder(model)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "recorder": recorder}
    if resume is not None:
        saved = torch.load(resume / "checkpoint.pt", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    lrs, batches = [], list(loader(accumulate))
    for update in range(scheduler.last_epoch, until):
        optimizer.zero_grad()
        for batch in batches[update * accumulate : (update + 1) * accumulate]:
            (model(**batch)["loss"] / accumulate).backward()
        recorder()
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    torch.save({name: part.state_dict() for name, part in parts.items()}, folder / "checkpoint.pt")
    return Played(weights(model), lrs, recorder.l2)


def hugging_face(folder, steps, *, until, resume=None, accumulate=1):
    transformers = package("transformers")
    from lastiterate.integrations.huggingface import GradNormCallback, scheduled_trainer

    class Log(transformers.TrainerCallback):
        def __init__(self):
            self.lrs = []

        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            self.lrs.append(kwargs["optimizer"].param_groups[0]["lr"])

    class StopAt(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == until:
                control.should_training_stop = control.should_save = True

    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=len(steps), learning_rate=0.01, optim="adamw_torch", report_to=[],
        per_device_train_batch_size=BATCH // accumulate, gradient_accumulation_steps=accumulate, use_cpu=True,
        disable_tqdm=True, save_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer = scheduled_trainer(steps)(Regression(), arguments, train_dataset=rows())
    log, norms = Log(), GradNormCallback(trainer)
    for callback in (log, StopAt(), norms):
        trainer.add_callback(callback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train(resume_from_checkpoint=None if resume is None else str(next(resume.glob("checkpoint-*"))))
    return Played(weights(trainer.model), log.lrs, norms.recorder.l2)


def lightning(folder, steps, *, until, resume=None, accumulate=1):
    pl = package("lightning.pytorch")
    from lastiterate.integrations.lightning import GradNormCallback, scheduled

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.lrs = Regression(), []

        def training_step(self, batch, index):
            return self.model(**batch)["loss"]

        def on_before_optimizer_step(self, optimizer):
            self.lrs.append(optimizer.param_groups[0]["lr"])

        def configure_optimizers(self):
            return scheduled(torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9), steps)

    torch.manual_seed(0)
    module, norms = Module(), GradNormCallback()
    checkpoint = None if resume is None else resume / "checkpoint.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            max_steps=until, callbacks=[norms], accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, accumulate_grad_batches=accumulate,
        )  # fmt: skip
        trainer.fit(module, Stateful(accumulate), ckpt_path=checkpoint)
        trainer.save_checkpoint(folder / "checkpoint.ckpt")
    return Played(weights(module), module.lrs, norms.recorder.l2)


def accelerate(folder, steps, *, until, resume=None, accumulate=1):
    package("accelerate")
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    model = Regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler, recorder = li.torch.ScheduleLR(optimizer, steps), li.torch.GradNormRecorder(model)
    model, optimizer, batches = accelerator.prepare(model, optimizer, loader(accumulate))
    accelerator.register_for_checkpointing(scheduler, recorder)
    if resume is not None:
        accelerator.load_state(str(resume / "checkpoint"))
        batches = accelerator.skip_first_batches(batches, scheduler.last_epoch * accumulate)
    lrs = []
    for batch in batches:
        if scheduler.last_epoch == until:
            break
        with accelerator.accumulate(model):
            accelerator.backward(model(**batch)["loss"])
            if accelerator.sync_gradients:
                recorder()
                lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if accelerator.sync_gradients:
                scheduler.step()
            optimizer.zero_grad()
    accelerator.save_state(str(folder / "checkpoint"))
    return Played(weights(accelerator.unwrap_model(model)), lrs, recorder.l2)


def optax(folder, steps, *, until, resume=None, accumulate=1):
    package("jax")
    ox = package("optax")
    import jax
    import jax.numpy as jnp

    from lastiterate.integrations.optax import optax_schedule, record_norms

    schedule = optax_schedule(steps, base_lr=0.01)
    optimizer = ox.MultiSteps(ox.chain(record_norms(20), ox.sgd(schedule, momentum=0.9)), accumulate)
    params = {"w": jnp.zeros(3), "b": jnp.zeros(())}
    state = optimizer.init(params)
    treedef = jax.tree.structure((params, state))
    if resume is not None:
        with np.load(resume / "checkpoint.npz", allow_pickle=False) as saved:
            params, state = jax.tree.unflatten(treedef, [jnp.asarray(saved[name]) for name in saved.files])

    @jax.jit
    def update(params, state, x, y):
        gradients = jax.grad(lambda p: jnp.mean((x @ p["w"] + p["b"] - y) ** 2))(params)
        updates, state = optimizer.update(gradients, state, params)
        return ox.apply_updates(params, updates), state

    batches = [(jnp.asarray(b["inputs"].numpy()), jnp.asarray(b["labels"].numpy())) for b in loader(accumulate)]
    lrs = []
    for number in range(int(state.gradient_step), until):
        lrs.append(float(schedule(state.gradient_step)))
        for x, y in batches[number * accumulate : (number + 1) * accumulate]:
            params, state = update(params, state, x, y)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((params, state))]
    np.savez(folder / "checkpoint.npz", *leaves)
    norms = state.inner_opt_state[0]
    final = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    return Played(final, lrs, np.asarray(norms.l2, dtype=float)[: int(norms.count)])


FRAMEWORKS = {run.__name__: run for run in (plain_torch, hugging_face, lightning, accelerate, optax)}


def folder_of(path: Path) -> Path:
    path.mkdir()
    return path
