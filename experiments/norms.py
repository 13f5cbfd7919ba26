"""Old name of `lastiterate.experiments.logs`, kept for one release."""

from lastiterate.theory.base.deprecation import moved

__getattr__ = moved(
    __name__,
    {
        "read_norms": "lastiterate.experiments.logs.norms",
        "NormLog": "lastiterate.experiments.logs.norms",
        "NormsWarning": "lastiterate.experiments.logs.norms",
    },
)
