"""Rates of averages of iterates: the emulated schedule, what bounces, what weights can prove."""
