"""Old name of `lastiterate.experiments.logs`, kept for one release."""

from lastiterate.theory.base.deprecation import moved

__getattr__ = moved(
    __name__,
    {
        "analyse": "lastiterate.experiments.logs.analysis",
        "Analysis": "lastiterate.experiments.logs.analysis",
        "RunAnalysis": "lastiterate.experiments.logs.analysis",
    },
)
