"""Who started a run, as its nodes see it: `config["configurable"]["langgraph_auth_user"]` and `runtime.server_info.user`.

Side: both. It travels with the run, so all that it holds is in the run's history for as long as the thread is kept.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Any

from langgraph.runtime import ServerInfo

__all__ = ["RunUser", "server_info"]


@dataclass(frozen=True)
class RunUser:
    """What `@auth.authenticate` told, as JSON. Its fields are read as items or as attributes."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def identity(self) -> str:
        return str(self.fields["identity"])

    @property
    def display_name(self) -> str:
        return str(self.fields.get("display_name") or self.identity)

    @property
    def is_authenticated(self) -> bool:
        return bool(self.fields.get("is_authenticated", True))

    @property
    def permissions(self) -> list[str]:
        return list(self.fields.get("permissions") or ())

    def get(self, key: str, default: Any = None) -> Any:
        return self.fields.get(key, default)

    def keys(self) -> KeysView[str]:
        return self.fields.keys()

    def values(self) -> ValuesView[Any]:
        return self.fields.values()

    def items(self) -> ItemsView[str, Any]:
        return self.fields.items()

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    def __contains__(self, key: object) -> bool:
        return key in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling look for methods before there are any fields.
        if not name.startswith("__") and name != "fields" and name in self.fields:
            return self.fields[name]
        raise AttributeError(f"the user has no {name!r}")


def server_info(conf: Mapping[str, Any]) -> ServerInfo | None:
    """What LangGraph tells nodes of the server that runs them, from a run's `configurable`."""
    assistant, graph, user = (conf.get(key) for key in ("assistant_id", "graph_id", "langgraph_auth_user"))
    known = user if hasattr(user, "identity") else None
    if assistant is None and graph is None and known is None:
        return None
    return ServerInfo(str(assistant or ""), str(graph or ""), known)
