from lastiterate.experiments.plots import *  # noqa: F403
