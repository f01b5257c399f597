"""Traces with OpenTelemetry. Side: both. Only its API is needed here; without an SDK nothing is recorded.

`spans` makes them, `attempts` is what an attempt of a node knows of its own, `models`, `tools` and `messages` say what
GenAI's semantic conventions want to know, `propagation` hands the context on.
"""
