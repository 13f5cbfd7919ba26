"""The adapters inside the frameworks they adapt to; learning rates and norms against those frameworks' own logs."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from adapter_runs import Regression, rows

from lastiterate.experiments.logs.norms import read_norms
from lastiterate.experiments.training.extras import MissingExtraError
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.closed_form import optimal_schedule
from lastiterate.theory.schedules import linear, wsd

N_STEPS = 8
BASE_LR = 0.2


@pytest.fixture
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("transformers", exc_type=ImportError)
        pytest.importorskip("lastiterate.experiments.integrations.huggingface")
    return package


def run_trainer(transformers, folder, *, accumulate=1, clip=1.0, callbacks=(), max_steps=N_STEPS, resume=False):
    from lastiterate.experiments.integrations.huggingface import GradNormCallback, scheduled_trainer

    class Log(transformers.TrainerCallback):
        def __init__(self):
            self.lrs, self.norms, self.applied = [], [], []

        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            self.lrs.append(kwargs["optimizer"].param_groups[0]["lr"])
            gradients = [p.grad.flatten() for p in kwargs["model"].parameters()]
            self.applied.append(float(torch.cat(gradients).norm()))

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "grad_norm" in logs:
                self.norms.append(logs["grad_norm"])

    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=max_steps, learning_rate=BASE_LR, per_device_train_batch_size=4,
        gradient_accumulation_steps=accumulate, max_grad_norm=clip, logging_steps=1, report_to=[], use_cpu=True,
        save_strategy="steps", save_steps=4, disable_tqdm=True, optim="adamw_torch", dataloader_pin_memory=False,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer = scheduled_trainer(linear(N_STEPS))(Regression(), arguments, train_dataset=rows())
    log, norms = Log(), GradNormCallback(trainer, folder / "norms.csv")
    for callback in (log, norms, *callbacks):
        trainer.add_callback(callback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train(resume_from_checkpoint=resume)
    return trainer, log, norms.recorder


@pytest.mark.slow
@pytest.mark.parametrize(("accumulate", "clip"), [(1, 1.0), (3, 1.0), (1, 0.0)])
def test_hf_trainer_vs_its_own_log(transformers, tmp_path, accumulate, clip):
    trainer, log, recorder = run_trainer(transformers, tmp_path, accumulate=accumulate, clip=clip)
    np.testing.assert_allclose(log.lrs, BASE_LR * linear(N_STEPS), rtol=1e-12)
    # the Trainer logs norms before clipping; where it does not clip, not every version logs them
    np.testing.assert_allclose(recorder.l2, log.norms if clip else log.applied, rtol=1e-5)
    assert len(recorder) == N_STEPS
    assert recorder.l2.min() > 1.0  # every update was clipped, so norms after clipping would all be 1
    assert "clip_grad_norm_" not in vars(trainer.accelerator)
    np.testing.assert_allclose(read_norms(tmp_path / "norms.csv", column="grad_norm_l1"), recorder.l1)


@pytest.mark.slow
def test_hf_trainer_resumes_in_the_schedule(transformers, tmp_path):
    run_trainer(transformers, tmp_path, max_steps=4)
    _, log, _ = run_trainer(transformers, tmp_path, resume=True)
    np.testing.assert_allclose(log.lrs, BASE_LR * linear(N_STEPS)[4:], rtol=1e-12)


@pytest.mark.slow
def test_hf_norms_survive_a_resume_another_run_and_an_exception(transformers, tmp_path):
    file = tmp_path / "norms.csv"
    _, _, whole = run_trainer(transformers, tmp_path)
    _, _, resumed = run_trainer(transformers, tmp_path, resume=str(tmp_path / "checkpoint-4"))
    np.testing.assert_allclose(resumed.l2, whole.l2, rtol=1e-5)
    assert read_norms(file, column="grad_norm_l2").horizon == N_STEPS
    assert (tmp_path / "norms.1.csv").is_file()  # the part that the resumed run went back behind

    class Stop(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="memory"):
        run_trainer(transformers, tmp_path, callbacks=[Stop()])
    assert read_norms(file, column="grad_norm_l2").norms.tolist() == pytest.approx(whole.l2[:5].tolist(), rel=1e-5)
    kept = read_norms(tmp_path / "norms.2.csv", column="grad_norm_l2").norms
    np.testing.assert_allclose(kept, resumed.l2, rtol=1e-12)


def test_a_file_of_anything_else_is_set_aside(tmp_path):
    from lastiterate.experiments.integrations._norm_file import checked_path, take_up
    from lastiterate.experiments.training.recorder import GradNormRecorder

    path = checked_path(tmp_path / "runs" / "norms.csv")
    for number, content in enumerate(("a,b\n1,2\n", "step,grad_norm_l1,grad_norm_l2\n0,x,y\n", ""), start=1):
        path.write_text(content)
        take_up(GradNormRecorder(Regression(), first_step=5), path, 5)
        assert (tmp_path / "runs" / f"norms.{number}.csv").read_text() == content
        assert path.read_text() == "step,grad_norm_l1,grad_norm_l2\n"


@pytest.mark.slow
def test_hf_text_of_a_schedule_has_the_length_of_the_training(transformers):
    from lastiterate.experiments.integrations.huggingface import scheduled_trainer

    trainer = object.__new__(scheduled_trainer("wsd:cooldown=4"))
    trainer.lr_scheduler, trainer.optimizer = None, torch.optim.SGD(Regression().parameters(), lr=1.0)
    assert trainer.create_scheduler(8).steps == wsd(8, cooldown=4).tolist()
    with pytest.raises(InputError, match="schedule: expected one of constant"):
        scheduled_trainer("linaer")


@pytest.mark.slow
def test_hf_run_of_another_length_than_its_schedule_says_so(transformers):
    from lastiterate.experiments.integrations.huggingface import scheduled_trainer
    from lastiterate.experiments.training.schedule import ScheduleLengthWarning

    trainer = object.__new__(scheduled_trainer(linear(N_STEPS)))
    trainer.lr_scheduler, trainer.optimizer = None, torch.optim.SGD(Regression().parameters(), lr=1.0)
    with pytest.warns(ScheduleLengthWarning, match="8 steps and the run 75 updates"):
        trainer.create_scheduler(75)


def lightning_run(lightning, folder, max_steps, *, fail_at=None, ckpt=None, schedule=None):
    from lastiterate.experiments.integrations.lightning import GradNormCallback, scheduled

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Regression()

        def training_step(self, batch, index):
            if self.global_step == fail_at:
                raise RuntimeError("out of memory")
            return self.model(**batch)["loss"]

        def configure_optimizers(self):
            steps = linear(N_STEPS) if schedule is None else schedule
            return scheduled(torch.optim.SGD(self.parameters(), lr=BASE_LR / 10), steps)

    torch.manual_seed(0)
    callback = GradNormCallback(folder / "norms.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_steps=max_steps, callbacks=[callback], accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Module(), torch.utils.data.DataLoader(rows(), batch_size=4), ckpt_path=ckpt)
        trainer.save_checkpoint(folder / f"{max_steps}.ckpt")
    return callback.recorder


@pytest.mark.slow
def test_lightning_norms_survive_a_resume_another_schedule_and_an_exception(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning.pytorch", exc_type=ImportError)
    (tmp_path / "whole").mkdir()
    whole = lightning_run(lightning, tmp_path / "whole", N_STEPS)
    lightning_run(lightning, tmp_path, 5)
    resumed = lightning_run(lightning, tmp_path, N_STEPS, ckpt=tmp_path / "5.ckpt")
    assert resumed.steps.tolist() == list(range(N_STEPS))
    np.testing.assert_allclose(resumed.l2[:5], whole.l2[:5], rtol=1e-6)
    assert read_norms(tmp_path / "norms.csv", column="grad_norm_l2").horizon == N_STEPS
    with pytest.raises(RuntimeError, match="memory"):
        lightning_run(lightning, tmp_path, N_STEPS, fail_at=3)
    assert read_norms(tmp_path / "norms.csv", column="grad_norm_l2").norms.size == 3
    assert read_norms(tmp_path / "norms.1.csv", column="grad_norm_l2").norms.size == N_STEPS
    longer = np.append(linear(N_STEPS)[:5], np.full(5, 0.5))
    extended = lightning_run(lightning, tmp_path, 10, ckpt=tmp_path / "5.ckpt", schedule=longer)
    assert extended.steps.tolist() == list(range(10))


@pytest.mark.slow
def test_lightning_vs_its_own_optimizer(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning.pytorch", exc_type=ImportError)
    from lastiterate.experiments.integrations.lightning import GradNormCallback, scheduled

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.lrs, self.clipped, self.norms = Regression(), [], [], []

        def training_step(self, batch, index):
            return self.model(**batch)["loss"]

        def configure_optimizers(self):
            return scheduled(torch.optim.SGD(self.parameters(), lr=BASE_LR / 10), linear(N_STEPS))

        def on_before_optimizer_step(self, optimizer):
            self.lrs.append(optimizer.param_groups[0]["lr"])
            self.norms.append(float(torch.cat([p.grad.flatten() for p in self.parameters()]).norm()))

        def on_before_zero_grad(self, optimizer):
            gradients = [p.grad.flatten() for p in self.parameters() if p.grad is not None]
            if gradients:
                self.clipped.append(float(torch.cat(gradients).norm()))

    torch.manual_seed(0)
    module, callback = Module(), GradNormCallback(tmp_path / "norms.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_steps=N_STEPS, callbacks=[callback], accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=0.5, accumulate_grad_batches=2,
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(rows(), batch_size=4))
    np.testing.assert_allclose(module.lrs, BASE_LR / 10 * linear(N_STEPS), rtol=1e-12)
    np.testing.assert_allclose(callback.recorder.l2, module.norms, rtol=1e-6)
    assert callback.recorder.l2.min() > 0.5  # recorded before clipping
    np.testing.assert_allclose(read_norms(tmp_path / "norms.csv", column="grad_norm_l2"), callback.recorder.l2)


@pytest.mark.slow
def test_optax_training_vs_numpy():
    optax = pytest.importorskip("optax", exc_type=ImportError)
    import jax
    import jax.numpy as jnp

    from lastiterate.experiments.integrations.optax import optax_schedule, record_norms

    matrix = np.random.default_rng(0).normal(size=(6, 4))

    def loss(params):
        return 0.5 * jnp.sum((jnp.asarray(matrix) @ jnp.concatenate([params["a"], params["b"]]) - 1.0) ** 2)

    optimizer = optax.chain(
        record_norms(N_STEPS - 2),
        optax.clip_by_global_norm(1.0),
        optax.sgd(optax_schedule(linear(N_STEPS), BASE_LR)),
    )
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    x, norms = np.ones(4), []
    for multiplier in linear(N_STEPS):
        params, state = step(params, state)
        g = matrix.T @ (matrix @ x - 1.0)
        norms.append((np.abs(g).sum(), np.linalg.norm(g)))
        x = x - BASE_LR * multiplier * g / max(1.0, np.linalg.norm(g))
    np.testing.assert_allclose(np.concatenate([params["a"], params["b"]]), x, rtol=1e-4)
    np.testing.assert_allclose(np.stack([state[0].l1, state[0].l2], axis=1), norms[:-2], rtol=1e-4)
    assert int(state[0].count) == N_STEPS


def test_optax_schedule_holds_its_last_value_and_is_checked():
    pytest.importorskip("optax", exc_type=ImportError)
    from lastiterate.experiments.integrations.optax import optax_schedule, record_norms

    schedule = optax_schedule([1.0, 0.25], 2.0)
    assert [float(schedule(count)) for count in (0, 1, 2, 100)] == [2.0, 0.5, 0.5, 0.5]
    assert float(optax_schedule("linear", 2.0, n_steps=4)(1)) == 1.5
    best = optimal_schedule(3)
    assert float(optax_schedule(best)(0)) == pytest.approx(best.steps[0], rel=1e-6)
    with pytest.raises(InputError, match="base_lr: expected None"):
        optax_schedule(best, 0.1)
    with pytest.raises(InputError, match="base_lr: expected a positive"):
        optax_schedule([1.0, 0.5])
    for call in (lambda: optax_schedule([-1.0], 1.0), lambda: optax_schedule([1.0], 0.0), lambda: record_norms(0)):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize(
    ("adapter", "package"),
    [("huggingface", "transformers"), ("lightning", "lightning"), ("optax", "jax")],
)
def test_a_missing_framework_names_the_extra(monkeypatch, adapter, package):
    from importlib import import_module

    name = f"lastiterate.experiments.integrations.{adapter}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*lastiterate\[integrations\]"):
        import_module(name).optax_schedule([1.0], 1.0)


PAGE = (Path(__file__).parents[3] / "docs" / "integrations.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", re.findall(r"```py\n(.*?)```", PAGE, flags=re.DOTALL), ids=["hf", "accelerate", "lightning", "optax"]
)
def test_examples_of_the_guide_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(block, "example", "exec"), names)
        except ImportError as error:
            pytest.skip(str(error))
    assert names["refined"].steps.max() == 1.0
