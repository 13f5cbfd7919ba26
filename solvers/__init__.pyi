from .design.program import exact_rate_program as exact_rate_program
