"""Old name of `lastiterate.integrations.huggingface`, kept for one release."""

from lastiterate.theory.base.deprecation import moved

__getattr__ = moved(
    __name__,
    {
        "GradNormCallback": "lastiterate.experiments.integrations.huggingface",
        "scheduled_trainer": "lastiterate.experiments.integrations.huggingface",
    },
)
