"""Old name of `lastiterate.schedules`, kept for one release."""

from lastiterate.theory.base.deprecation import moved

__getattr__ = moved(
    __name__,
    {
        "read_schedule": "lastiterate.theory.schedules.files",
        "write_schedule": "lastiterate.theory.schedules.files",
        "snippet": "lastiterate.experiments.integrations.snippets",
    },
)
