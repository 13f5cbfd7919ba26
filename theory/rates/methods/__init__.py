"""Rates of momentum and dual averaging: certificates in closed form, by blocks, planes and programs."""
