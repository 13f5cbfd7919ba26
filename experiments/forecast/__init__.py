"""Forecasts of the loss: laws fitted to recorded runs, with intervals, choices and advice on the next run."""
