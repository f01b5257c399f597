"""From a request's body to a run, and from a run's end to an answer.

Side: server. A run that the server starts ends when it asks for something, as in LangGraph's server; the answer is the
`command` of another run.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langgraph.types import Command, Send
from temporalio.exceptions import WorkflowAlreadyStartedError

from perdure.contract.state import HistoryRequest
from perdure.contract.thread import RunRequest
from perdure.errors import RunCancelled, RunFailed, ThreadNotFound
from perdure.server.access import authorise_run, check_thread
from perdure.server.backend import Backend
from perdure.server.bodies import CommandBody, RunCreate
from perdure.server.errors import failed, invalid
from perdure.server.filters import Filter
from perdure.streams.wire import to_json
from perdure.telemetry.propagation import starting

__all__ = ["Started", "check_run", "command_of", "run_request", "run_result", "start", "waiting"]

_KEEP_ALIVE_SECONDS = 5


@dataclass(frozen=True)
class Started:
    """A run that was accepted. `place` is its URL's path."""

    thread_id: str
    run_id: str
    cancel_on_disconnect: bool = False

    @property
    def place(self) -> str:
        return f"/threads/{self.thread_id}/runs/{self.run_id}"

    def headers(self, what: str) -> dict[str, str]:
        """Where the client finds the run, and where it goes on when the connection is lost."""
        return {"Content-Location": self.place, "Location": f"{self.place}/{what}"}


async def start(
    backend: Backend, thread_id: str | None, body: RunCreate, *, stream: list[str] | None = None
) -> Started:
    """Start or queue a run; without a thread id, on a thread of its own.

    Args:
        stream: what it tells, subgraphs included, instead of what the body says.

    Raises:
        HTTPException: for what does not fit. PerdureError: for what is not there, or in the way.
    """
    if thread_id is None and body.command is not None and body.command.resume is not None:
        raise failed(400, "You must provide a thread_id when resuming.")
    check_run(backend, body)
    assistant = await backend.assistants.get(body.assistant_id)
    body, filters = await authorise_run(backend.caller, thread_id, assistant, body)
    stateless = thread_id is None
    target = thread_id or str(uuid.uuid4())
    request = run_request(assistant, target, body, backend.caller.configurable())
    if stream is not None:
        request = replace(request, stream=stream, subgraphs=True)
    create = {**body.metadata} if stateless or body.if_not_exists == "create" else None
    temporary = stateless and body.on_completion == "delete"
    with starting(request.graph, target) as trace:
        request = replace(request, trace=trace)
        if filters and not stateless:
            await _start_owned(backend, target, request, create, filters)
        else:
            await backend.threads.start_run(target, request, create=create, temporary=temporary)
    return Started(target, request.id, cancel_on_disconnect=body.on_disconnect == "cancel")


async def _start_owned(
    backend: Backend, thread_id: str, request: RunRequest, create: Mapping[str, Any] | None, filters: Filter
) -> None:
    """On a thread that fits the filters, or one that is made by this: between the look for it and its beginning somebody
    else may make it."""
    try:
        there = (await check_thread(backend, thread_id, filters)).status != "closed"
    except ThreadNotFound:
        there = False
    if not there and create is not None:
        with suppress(WorkflowAlreadyStartedError):
            await backend.threads.start_run(thread_id, request, create=create, new=True)
            return
    if not there:
        await check_thread(backend, thread_id, filters)
    await backend.threads.start_run(thread_id, request)


async def run_result(backend: Backend, started: Started) -> Any:
    """What the SDK's `runs.wait` and `runs.join` return: the values, what is asked, or `__error__`."""
    try:
        result = await backend.threads.result(started.thread_id, started.run_id)
    except RunCancelled:
        return await _values(backend, started.thread_id)
    except RunFailed as error:
        if error.cause_type == ThreadNotFound.__name__:
            # So many runs have ended since that its result is not kept any more.
            run = await backend.threads.run(started.thread_id, started.run_id)
            return {"__error__": run.error} if run.error else await _values(backend, started.thread_id)
        return {"__error__": {"error": error.cause_type or "RunFailed", "message": str(error)}}
    return result


async def waiting(backend: Backend, started: Started) -> AsyncGenerator[bytes]:
    """The result as a body; until it is there, white space that keeps the connection open."""
    task = backend.go(run_result(backend, started))
    done = False
    try:
        while not done:
            done = bool((await asyncio.wait([task], timeout=_KEEP_ALIVE_SECONDS))[0])
            if not done:
                yield b"\n"
        yield to_json(task.result())
    finally:
        if not done:
            task.cancel()
            if started.cancel_on_disconnect:
                backend.go(backend.threads.cancel(started.thread_id, started.run_id))


async def _values(backend: Backend, thread_id: str) -> Any:
    found = await backend.threads.history(thread_id, HistoryRequest(limit=1))
    return found[0].values if found else {}


def check_run(backend: Backend, body: RunCreate) -> None:
    """Raises HTTPException and RequestValidationError for what does not fit together, or is not allowed."""
    if body.config.configurable and body.context:
        raise failed(400, "Cannot specify both configurable and context. Prefer setting context alone.")
    if body.webhook and (problem := backend.webhooks.problem(body.webhook)):
        raise invalid("body.webhook", problem)


def run_request(
    assistant: Mapping[str, Any], thread_id: str, body: RunCreate, told: Mapping[str, Any]
) -> RunRequest:
    """The run that a body asks for, under a new id. `told` is what its nodes are told of who asks."""
    run_id = str(uuid.uuid4())
    known: dict[str, Any] = assistant["config"]
    ids = {
        "run_id": run_id,
        "thread_id": thread_id,
        "graph_id": assistant["graph_id"],
        "assistant_id": assistant["assistant_id"],
    }
    metadata = {**assistant["metadata"], **body.metadata}
    # Each stands for the other where that one is not given, as graphs read the one or the other.
    context = {**(assistant.get("context") or {}), **(body.context or body.config.configurable)} or None
    config = {
        **known,
        **body.config.given(),
        "configurable": {
            **known.get("configurable", {}),
            **(body.context or body.config.configurable),
            **{key: ids[key] for key in ("run_id", "graph_id", "assistant_id")},
            **told,
        },
        "metadata": {**known.get("metadata", {}), **(body.config.metadata or {}), **metadata, **ids},
    }
    return RunRequest(
        id=run_id,
        input=body.input if body.command is None or body.command.is_empty else command_of(body.command),
        config=config,
        context=context,
        checkpoint_id=(body.checkpoint.checkpoint_id if body.checkpoint else None) or body.checkpoint_id,
        graph=assistant["graph_id"],
        ends_when_interrupted=True,
        interrupt_before=body.interrupt_before,
        interrupt_after=body.interrupt_after,
        multitask_strategy=body.multitask_strategy,
        assistant_id=assistant["assistant_id"],
        metadata={**metadata, "graph_id": assistant["graph_id"], "assistant_id": assistant["assistant_id"]},
        stream=list(dict.fromkeys(body.stream_mode)),
        subgraphs=body.stream_subgraphs,
        webhook=body.webhook,
        wait_until=time.time() + body.after_seconds if body.after_seconds else None,
    )


def command_of(body: CommandBody) -> Command[Any]:
    """Raises 422 for a `goto` that says nothing."""
    goto = body.goto if isinstance(body.goto, list) else [] if body.goto is None else [body.goto]
    try:
        targets = [item if isinstance(item, str) else Send(item["node"], item.get("input")) for item in goto]
    except KeyError:
        raise failed(422, "body.command.goto: an object needs 'node' and 'input'") from None
    return Command(resume=body.resume, update=body.update, goto=targets)
