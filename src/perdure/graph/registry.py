"""Graphs by name, with their mirrors and the types that their payloads may hold.

Side: both; one per worker, given to constructors, never global. Loading graphs from a project is `perdure.graph.project`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from langgraph.errors import NodeError
from langgraph.func import entrypoint

from perdure._compat import Pregel
from perdure.contract.thread import SavedCheckpoint
from perdure.errors import ConfigError, GraphNotFound
from perdure.graph.mirror import mirror
from perdure.graph.schema import graph_types
from perdure.graph.user import RunUser
from perdure.payloads import TypeRegistry

__all__ = ["GraphRegistry"]

AnyGraph = Pregel[Any, Any, Any, Any]


class GraphRegistry:
    """Validated at construction: what is not a compiled graph is refused here and not in the third activity.

    `heartbeat` is the limit of nodes that declare none.
    """

    def __init__(
        self,
        graphs: Mapping[str, Any],
        *,
        types: Iterable[type] = (),
        heartbeat: timedelta | None = None,
    ) -> None:
        if heartbeat is not None and heartbeat <= timedelta(0):
            raise ConfigError(f"heartbeat must be a timedelta above zero, not {heartbeat!r}")
        self._graphs: dict[str, AnyGraph] = {}
        for name, graph in graphs.items():
            if not isinstance(graph, Pregel):
                fix = (
                    "call .compile() on it" if hasattr(graph, "compile") else "pass the compiled graph itself"
                )
                raise ConfigError(
                    f"graph {name!r} is a {type(graph).__name__}, not a compiled LangGraph graph: {fix}"
                )
            self._graphs[name] = graph
        self._mirrors = {name: mirror(graph, heartbeat=heartbeat) for name, graph in self._graphs.items()}
        self.types = TypeRegistry.discover(
            SavedCheckpoint,
            NodeError,
            entrypoint.final,
            RunUser,
            *types,
            *(t for g in self._graphs.values() for t in graph_types(g)),
        )

    def graph(self, name: str) -> AnyGraph:
        """The user's own graph object.

        Raises:
            GraphNotFound: with the names that there are.
        """
        self._check(name)
        return self._graphs[name]

    def mirror(self, name: str) -> AnyGraph:
        """The workflow-side twin of a graph. Raises as `graph` does."""
        self._check(name)
        return self._mirrors[name]

    def _check(self, name: str) -> None:
        if name not in self._graphs:
            known = ", ".join(sorted(self._graphs)) or "none"
            raise GraphNotFound(f"no graph {name!r} here; registered: {known}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._graphs)

    def __len__(self) -> int:
        return len(self._graphs)
