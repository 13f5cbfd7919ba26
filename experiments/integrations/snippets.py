"""Code that plays a schedule file in a training script of each framework."""

from pathlib import Path

from lastiterate.theory.base.validation import check_choice

__all__ = ["snippet"]

SNIPPETS = {
    "torch": """\
from lastiterate.torch import ScheduleLR

# the optimizer has lr=base_lr
scheduler = ScheduleLR.from_file(optimizer, {path!r})
# after every optimizer.step():
scheduler.step()
""",
    "hf": """\
from lastiterate.integrations.huggingface import scheduled_trainer
from lastiterate.schedules import read_schedule

# TrainingArguments(learning_rate=base_lr, max_steps={horizon})
ScheduledTrainer = scheduled_trainer(read_schedule({path!r}))
""",
    "lightning": """\
import torch
from lastiterate.integrations.lightning import scheduled
from lastiterate.schedules import read_schedule


# a method of the LightningModule; Trainer(max_steps={horizon})
def configure_optimizers(self):
    optimizer = torch.optim.{optimizer}(self.parameters(), lr=self.base_lr)
    return scheduled(optimizer, read_schedule({path!r}))
""",
    "optax": """\
import optax
from lastiterate.integrations.optax import optax_schedule
from lastiterate.schedules import read_schedule

# {horizon} steps
learning_rate = optax_schedule(read_schedule({path!r}), base_lr)
optimizer = optax.{optax}(learning_rate)
""",
}


def snippet(framework: str, path: str | Path, horizon: int, rule: str = "sgd") -> str:
    """Return code that uses the schedule file in a training script.

    >>> print(snippet("torch", "schedule.json", 100).splitlines()[3])
    scheduler = ScheduleLR.from_file(optimizer, 'schedule.json')
    """
    template = SNIPPETS[check_choice(framework, "snippet", SNIPPETS)]
    optimizer, optax_name = ("SGD", "sgd") if rule == "sgd" else ("AdamW", "adamw")
    return template.format(path=str(path), horizon=horizon, optimizer=optimizer, optax=optax_name)
