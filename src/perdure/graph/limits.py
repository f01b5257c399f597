"""Recursion limits for graphs that continue as new in the middle, as LangGraph counts them for graphs that do not.

Side: workflow. LangGraph gives a graph its limit anew each time it starts from a checkpoint. After continuing as new, a graph
gets what is left of it instead; else one that never ends would never be stopped. This holds for subgraphs, too, each with
the steps of its own namespace.

As LangGraph has it, a limit that a run or the root graph names holds for all its subgraphs; a subgraph's own
(`with_config`) counts where they name none.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained, GraphRecursionError

from perdure._compat import CONF, CONFIG_KEY_CHECKPOINT_NS, DEFAULT_RECURSION_LIMIT, configurable
from perdure.graph.channels import is_going_on
from perdure.graph.saver import own_namespace

__all__ = ["LIMIT_KEY", "RecursionLimits", "named_limit"]

LIMIT_KEY = "__perdure_recursion_limit"
"""Where the limit that was named further up is in `configurable`; absent when none was."""


class _Steps(Protocol):
    def step(self, checkpoint_id: str | None = None, *, namespace: str = "") -> int: ...


class RecursionLimits:
    """`stops` is the step at which each graph that is under way must have ended, by namespace; the root's is `""`."""

    def __init__(self, steps: _Steps, stops: Mapping[str, int]) -> None:
        self.stops = dict(stops)
        self._steps = steps

    def enter(self, namespace: str, limit: int, *, going_on: bool, checkpoint_id: str | None = None) -> int:
        """The limit to give to LangGraph for a graph that starts with `limit`, or goes on with what is left of it.

        Raises:
            GraphRecursionError: when nothing is left.
        """
        step = self._steps.step(checkpoint_id, namespace=namespace)
        if going_on and namespace in self.stops:
            # As PregelLoop counts: it starts at the saved step + 1, and stops at its start + limit + 1.
            left = self.stops[namespace] - step - 2
            if left < 1:
                raise GraphRecursionError(
                    f"Recursion limit of {limit} reached without hitting a stop condition."
                )
            return left
        self.stops[namespace] = step + 2 + limit
        return limit

    def leave(self, namespace: str) -> None:
        self.stops.pop(namespace, None)

    def room(self) -> bool:
        """Whether each graph under way could go on after the step that runs. LangGraph takes no limit below 1 (which stands
        for three more steps), so the last few steps of a graph are never carried over."""
        return all(
            stop - self._steps.step(namespace=namespace) - 3 > 0 for namespace, stop in self.stops.items()
        )

    @contextmanager
    def nested(self, graph: Any, config: RunnableConfig) -> Generator[RunnableConfig]:
        """The config for a subgraph that is a node, while it runs."""
        conf = configurable(config)
        named: int | None = conf.get(LIMIT_KEY) or named_limit(graph.config)
        namespace = own_namespace(graph, conf.get(CONFIG_KEY_CHECKPOINT_NS, ""))
        limit = self.enter(namespace, named or DEFAULT_RECURSION_LIMIT, going_on=is_going_on())
        try:
            yield {
                **config,
                "recursion_limit": limit,
                CONF: {**conf, **({LIMIT_KEY: named} if named else {})},
            }
        except GraphDrained:
            raise
        except BaseException:
            self.leave(namespace)
            raise
        self.leave(namespace)


def named_limit(config: Mapping[str, Any] | None) -> int | None:
    """The limit that somebody put into a config; `None` for LangGraph's default, which it marks by its type."""
    limit = (config or {}).get("recursion_limit")
    return None if limit is None or isinstance(limit, type(DEFAULT_RECURSION_LIMIT)) else int(limit)
