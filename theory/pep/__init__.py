"""The performance-estimation program as a cone program, and bounds repaired from its solutions."""
