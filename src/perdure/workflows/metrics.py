"""What a thread's runs are counted and timed by: Temporal's own meter, which says nothing again at a replay. Side: workflow.

| metric                      | kind      | attributes                                                    |
|-----------------------------|-----------|---------------------------------------------------------------|
| `perdure_runs`              | counter   | graph, outcome (completed, failed, cancelled, interrupted)    |
| `perdure_step_latency`      | histogram | graph, kind (node, task, effect, undo, wait), name, outcome   |
| `perdure_model_calls`       | counter   | graph, model                                                  |
| `perdure_tokens`            | counter   | graph, model, direction (input, output)                       |
| `perdure_cost_microdollars` | counter   | graph, model                                                  |
| `perdure_tool_calls`        | counter   | graph, tool                                                   |
| `perdure_history_bytes`     | histogram | graph; at the end of a run, and of each part of a long one    |

A step's latency has all its attempts and the waits between them; that of `wait` is how long an answer took.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from perdure.contract.usage import Usage

__all__ = ["RunMetrics"]


class RunMetrics:
    """One per workflow run; `graph` is that of the run under way."""

    def __init__(self) -> None:
        meter = workflow.metric_meter()
        self.graph = ""
        self._runs = meter.create_counter("perdure_runs", "Runs that have ended")
        self._latency = meter.create_histogram_timedelta("perdure_step_latency", "From asked for to its end")
        self._calls = meter.create_counter("perdure_model_calls", "Calls of models")
        self._tokens = meter.create_counter("perdure_tokens", "Tokens that models took and gave")
        self._cost = meter.create_counter("perdure_cost_microdollars", "What model calls cost")
        self._tools = meter.create_counter("perdure_tool_calls", "Calls of tools")
        self._bytes = meter.create_histogram("perdure_history_bytes", "Size of histories")

    def run(self, outcome: str) -> None:
        """A run has ended, or continues as new."""
        graph = {"graph": self.graph}
        if outcome != "continued as new":
            self._runs.add(1, {**graph, "outcome": outcome})
        self._bytes.record(workflow.info().get_current_history_size(), graph)

    def step(self, kind: str, name: str, nanoseconds: int, outcome: str) -> None:
        about = {"graph": self.graph, "kind": kind, "name": name, "outcome": outcome}
        self._latency.record(timedelta(microseconds=max(0, nanoseconds) // 1000), about)

    def used(self, usage: Usage) -> None:
        for name, model in usage.models.items():
            about = {"graph": self.graph, "model": name}
            self._calls.add(model.calls, about)
            self._tokens.add(model.input_tokens, {**about, "direction": "input"})
            self._tokens.add(model.output_tokens, {**about, "direction": "output"})
            self._cost.add(round(model.money * 1_000_000), about)
        for key, count in usage.tools.items():
            self._tools.add(count, {"graph": self.graph, "tool": key.rpartition(":")[0]})
