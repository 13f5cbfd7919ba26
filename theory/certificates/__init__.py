"""Proofs that somebody else can check: multipliers, exact arithmetic, the stand-alone checker."""
