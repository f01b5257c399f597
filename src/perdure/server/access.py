"""Authorisation: what a handler of `@auth.on` sees of a request, what it may change, and what its filters keep back.

Side: server. A route's row in the table says what it is. What was changed goes on to the route as if it had been asked for;
what a filter keeps back is not there (404).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from perdure.server.access_rules import Rule
from perdure.server.backend import Backend
from perdure.server.bodies import RunCreate
from perdure.server.caller import Caller
from perdure.server.errors import failed, not_found
from perdure.server.filters import Filter, matches
from perdure.server.threads import ThreadLine

__all__ = ["Asked", "authorise", "authorise_run", "check_thread"]

_Run = TypeVar("_Run", bound=RunCreate)
_NAMESPACES = {"search": "namespace_prefix", "list_namespaces": "prefix"}


@dataclass
class Asked:
    """The parts of a request that handlers see; `query` and `body` may be changed."""

    path: Mapping[str, Any]
    query: dict[str, str] = field(default_factory=dict[str, str])
    body: dict[str, Any] = field(default_factory=dict[str, Any])


async def authorise(backend: Backend, caller: Caller, rule: Rule, asked: Asked) -> Caller:
    """The caller with the filters that the route has to keep to.

    Raises:
        HTTPException: for what is refused. PerdureError: for what is not there.
    """
    if not rule.resource:
        return caller
    if rule.shape == "store":
        return await _store(caller, rule, asked)
    value = _value(rule, asked)
    filters = await caller.allow(rule.resource, rule.action, value)
    if rule.body and rule.shape != "cancel_many":
        # A null may say something; metadata that nobody gave does not.
        nulls = {key: None for key, item in asked.body.items() if item is None}
        if not value.get("metadata") and "metadata" not in asked.body:
            value.pop("metadata", None)
        asked.body = nulls | {key: _text(item) for key, item in value.items() if key not in rule.ids}
    if filters and rule.owned:
        await _check_owned(backend, rule, asked, filters)
    return caller.filtered(filters)


async def authorise_run(
    caller: Caller, thread_id: str | None, assistant: Mapping[str, Any], body: _Run
) -> tuple[_Run, Filter]:
    """What is to run, as the handler of `threads.create_run` left it, and the filter that its thread has to fit.

    Raises:
        HTTPException: for what is refused; 404 for an assistant that a filter keeps back.
    """
    if caller.auth is None:
        return body, {}
    config = {**body.config.given(), "configurable": dict(body.config.configurable)}
    value: dict[str, Any] = {
        "thread_id": _id(thread_id),
        "assistant_id": _id(assistant["assistant_id"]),
        "run_id": None,
        "status": "pending",
        "metadata": dict(body.metadata),
        "prevent_insert_if_inflight": body.multitask_strategy == "reject",
        "multitask_strategy": body.multitask_strategy,
        "if_not_exists": body.if_not_exists,
        "after_seconds": body.after_seconds,
        "kwargs": {
            **body.model_dump(include={"input", "command", "context", "interrupt_before", "interrupt_after"}),
            "config": config,
            "stream_mode": list(body.stream_mode),
            "subgraphs": body.stream_subgraphs,
            "temporary": thread_id is None and body.on_completion == "delete",
        },
    }
    filters = await caller.allow("threads", "create_run", value)
    if assistant["metadata"].get("created_by") != "system":
        readable = await caller.allow("assistants", "read", {"assistant_id": value["assistant_id"]})
        if not matches(assistant["metadata"], readable):
            raise not_found("Assistant", assistant["assistant_id"])
    kwargs = value["kwargs"]
    changed = {"metadata": value["metadata"]} | {
        key: kwargs[key]
        for key in ("input", "command", "config", "context", "interrupt_before", "interrupt_after")
    }
    return type(body).model_validate({**body.model_dump(exclude_unset=True), **changed}), filters


def _value(rule: Rule, asked: Asked) -> dict[str, Any]:
    ids = {name: _id(asked.path[name]) for name in rule.ids}
    action = asked.query.get("action", "interrupt")
    if rule.shape == "cancel":
        told = {"run_ids": [ids["run_id"]], "status": None}
        return {"thread_id": ids["thread_id"], "action": action, "metadata": told}
    if rule.shape == "cancel_many":
        told = {"run_ids": asked.body.get("run_ids"), "status": asked.body.get("status")}
        return {"thread_id": _id(asked.body.get("thread_id")), "action": action, "metadata": told}
    value = {key: item for key, item in asked.body.items() if item is not None} | ids
    if rule.body or rule.shape == "metadata":
        value.setdefault("metadata", {})
    if rule.shape == "create":
        name = "thread_id" if rule.resource == "threads" else "assistant_id"
        value[name] = _id(value.get(name) or str(uuid.uuid4()))
    return value


async def _store(caller: Caller, rule: Rule, asked: Asked) -> Caller:
    own = _NAMESPACES.get(rule.action, "namespace")
    given: dict[str, Any] = dict(asked.query) if rule.action == "get" else dict(asked.body)
    namespace = given.pop(own, None)
    if rule.action == "get":
        namespace = str(namespace or "").split(".")
    if namespace is not None and not isinstance(namespace, list):
        raise failed(422, f"body.{own}: must be a list of labels")
    labels = None if namespace is None else tuple(cast("list[Any]", namespace))
    value = {**given, "namespace": labels if rule.action == "list_namespaces" else labels or ()}
    filters = await caller.allow("store", rule.action, value)
    scoped: Any = value.pop("namespace")
    if rule.action == "get":
        asked.query = {**{key: str(item) for key, item in value.items()}, own: ".".join(_labels(scoped))}
    else:
        asked.body = {**value, **({} if scoped is None else {own: _labels(scoped)})}
    if filters and rule.action == "search":
        asked.body["filter"] = _narrowed(asked.body.get("filter"), filters)
    return caller.filtered(filters)


def _labels(namespace: Any) -> list[str]:
    """As the handler left it; a label with a '.' would be two where they are joined."""
    labels = [str(label) for label in namespace]
    if not all(labels) or any("." in label for label in labels):
        raise failed(422, "namespace: labels are not empty and have no '.'")
    return labels


def _narrowed(given: Any, filters: Filter) -> dict[str, Any]:
    known = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    clash = [key for key in filters if key.startswith("$") or (key in known and known[key] != filters[key])]
    if clash:
        raise failed(403, f"the store cannot be searched by {clash[0]!r} here")
    return {**known, **filters}


async def _check_owned(backend: Backend, rule: Rule, asked: Asked, filters: Filter) -> None:
    if rule.resource == "threads":
        await check_thread(backend, asked.path["thread_id"], filters)
        return
    assistant = await backend.assistants.get(asked.path["assistant_id"])
    if not matches(assistant["metadata"], filters):
        raise not_found("Assistant", asked.path["assistant_id"])


async def check_thread(backend: Backend, thread_id: str, filters: Filter) -> ThreadLine:
    """Raises ThreadNotFound for a thread that is not there, 404 for one that is kept back."""
    line = await backend.threads.line(thread_id)
    if not matches(line.metadata, filters):
        raise not_found("Thread", thread_id)
    return line


def _id(text: Any) -> Any:
    """As LangGraph's server tells them: as UUIDs, where they are."""
    if not isinstance(text, str):
        return text
    try:
        found = uuid.UUID(text)
    except ValueError:
        return text
    return found if str(found) == text else text


def _text(item: Any) -> Any:
    return str(item) if isinstance(item, uuid.UUID) else item
