"""Which action of which resource a route is, for the handlers of `@auth.on`.

Side: server. One table, by method and path. Invariant: what is not in it is refused wherever there is an `Auth`;
`tests/server/test_access.py` asks for a row for each route.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """`body`: the handler sees the request's JSON, and may change it. `ids`: what it sees of the path. `owned`: where a
    filter it returns is held against the thread or assistant of the path; else the route holds it against what it finds.

    Without a `resource` the route is allowed to whoever is known: what it does is asked for where it does it.
    """

    resource: str = ""
    action: str = ""
    body: bool = False
    ids: tuple[str, ...] = ()
    owned: bool = False
    shape: Literal["", "cancel", "cancel_many", "create", "store", "metadata"] = ""


_WITHIN = Rule()
_THREAD, _RUN, _ASSISTANT, _CRON = ("thread_id",), ("thread_id", "run_id"), ("assistant_id",), ("cron_id",)


def _threads(action: str, ids: tuple[str, ...] = _THREAD, *, body: bool = False, shape: str = "") -> Rule:
    return Rule("threads", action, body=body, ids=ids, owned=True, shape=shape)  # pyright: ignore[reportArgumentType]


def _assistants(action: str, *, body: bool = False) -> Rule:
    return Rule("assistants", action, body=body, ids=_ASSISTANT, owned=True)


_ROUTES: Mapping[str, Rule] = {
    "POST /threads": Rule("threads", "create", body=True, shape="create"),
    "POST /threads/search": Rule("threads", "search", body=True),
    "POST /threads/count": Rule("threads", "search", body=True),
    "POST /threads/prune": Rule("threads", "delete", body=True),
    "GET /threads/{thread_id}": _threads("read"),
    "PATCH /threads/{thread_id}": _threads("update", body=True),
    "DELETE /threads/{thread_id}": _threads("delete"),
    "POST /threads/{thread_id}/copy": _threads("read"),
    "GET /threads/{thread_id}/state": _threads("read"),
    "POST /threads/{thread_id}/state": _threads("update"),
    "POST /threads/{thread_id}/state/bulk": _threads("update"),
    "POST /threads/{thread_id}/state/checkpoint": _threads("read"),
    "GET /threads/{thread_id}/state/{checkpoint_id}": _threads("read"),
    "GET /threads/{thread_id}/history": _threads("read"),
    "POST /threads/{thread_id}/history": _threads("read"),
    "GET /threads/{thread_id}/stream": _threads("read"),
    "POST /threads/{thread_id}/stream/events": _threads("read"),
    "WEBSOCKET /threads/{thread_id}/stream/events": _threads("read"),
    # Runs are asked for where they start: there alone it is known what runs, and there are several ways in.
    "POST /threads/{thread_id}/runs": _WITHIN,
    "POST /threads/{thread_id}/commands": _WITHIN,
    "POST /threads/{thread_id}/runs/wait": _WITHIN,
    "POST /threads/{thread_id}/runs/stream": _WITHIN,
    "POST /runs": _WITHIN,
    "POST /runs/wait": _WITHIN,
    "POST /runs/stream": _WITHIN,
    "POST /runs/batch": _WITHIN,
    "GET /metrics": _WITHIN,
    "POST /mcp": _WITHIN,
    "GET /mcp": _WITHIN,
    "DELETE /mcp": _WITHIN,
    "POST /a2a/{assistant_id}": _WITHIN,
    "GET /.well-known/agent-card.json": _WITHIN,
    "GET /a2a/{assistant_id}/.well-known/agent-card.json": _WITHIN,
    "GET /a2a/{assistant_id}/.well-known/agent.json": _WITHIN,
    "POST /v1/chat/completions": _WITHIN,
    "GET /v1/models": _WITHIN,
    "GET /v1/models/{model_id}": _WITHIN,
    "POST /runs/cancel": Rule("threads", "update", body=True, shape="cancel_many"),
    "GET /threads/{thread_id}/runs": _threads("search", shape="metadata"),
    "GET /threads/{thread_id}/runs/{run_id}": _threads("read", _RUN),
    "DELETE /threads/{thread_id}/runs/{run_id}": _threads("delete", _RUN),
    "POST /threads/{thread_id}/runs/{run_id}/cancel": _threads("update", _RUN, shape="cancel"),
    "GET /threads/{thread_id}/runs/{run_id}/join": _threads("read", _RUN),
    "GET /threads/{thread_id}/runs/{run_id}/stream": _threads("read", _RUN),
    "POST /assistants": Rule("assistants", "create", body=True, shape="create"),
    "POST /assistants/search": Rule("assistants", "search", body=True),
    "POST /assistants/count": Rule("assistants", "search", body=True),
    "GET /assistants/{assistant_id}": _assistants("read"),
    "PATCH /assistants/{assistant_id}": _assistants("update", body=True),
    "DELETE /assistants/{assistant_id}": _assistants("delete"),
    "GET /assistants/{assistant_id}/graph": _assistants("read"),
    "GET /assistants/{assistant_id}/schemas": _assistants("read"),
    "GET /assistants/{assistant_id}/subgraphs": _assistants("read"),
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": _assistants("read"),
    "POST /assistants/{assistant_id}/versions": _assistants("read"),
    "POST /assistants/{assistant_id}/latest": _assistants("update", body=True),
    "POST /runs/crons": Rule("crons", "create", body=True),
    "POST /threads/{thread_id}/runs/crons": Rule("crons", "create", body=True, ids=_THREAD),
    "POST /runs/crons/search": Rule("crons", "search", body=True),
    "POST /runs/crons/count": Rule("crons", "search", body=True),
    "GET /runs/crons/{cron_id}": Rule("crons", "read", ids=_CRON),
    "PATCH /runs/crons/{cron_id}": Rule("crons", "update", body=True, ids=_CRON),
    "DELETE /runs/crons/{cron_id}": Rule("crons", "delete", ids=_CRON),
    "PUT /store/items": Rule("store", "put", body=True, shape="store"),
    "GET /store/items": Rule("store", "get", shape="store"),
    "DELETE /store/items": Rule("store", "delete", body=True, shape="store"),
    "POST /store/items/search": Rule("store", "search", body=True, shape="store"),
    "POST /store/namespaces": Rule("store", "list_namespaces", body=True, shape="store"),
}

RULES = _ROUTES
