"""Optimal schedules in closed form, optimal continuation, and refinement from recorded norms."""
