"""Old name of `lastiterate.integrations.lightning`, kept for one release."""

from lastiterate.theory.base.deprecation import moved

__getattr__ = moved(
    __name__,
    {
        "GradNormCallback": "lastiterate.experiments.integrations.lightning",
        "scheduled": "lastiterate.experiments.integrations.lightning",
    },
)
