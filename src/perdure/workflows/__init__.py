"""Deterministic code: the thread workflow and what it is made of."""
