"""Deterministic code, run in Temporal's sandbox: the thread workflow and what it is made of."""
