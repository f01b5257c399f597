"""LangChain's agent protocol: the commands that a thread takes.

Side: server. What starts runs is here, what is asked about the thread in `protocol_state`. What goes wrong is an answer of the
protocol, with the status 200.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from perdure.contract.run import RunsRequest
from perdure.contract.state import HistoryRequest
from perdure.contract.thread import ThreadState
from perdure.errors import ThreadNotFound
from perdure.server.backend import Backend
from perdure.server.bodies import RunCreate
from perdure.server.protocol_errors import PROBLEMS, Refused, problem
from perdure.server.protocol_state import checkpoints, readable, state, tree
from perdure.server.runs import start

__all__ = ["CommandRequest", "obey"]

# All that a client may want to hear of the run, whenever it comes.
_STREAM = ["values", "updates", "tasks", "checkpoints", "custom", "speech", "tools", "lifecycle"]
_TAKEN = ("config", "metadata", "context", "multitask_strategy", "command", "checkpoint_id", "if_not_exists")


class CommandRequest(BaseModel):
    id: int = Field(ge=0, lt=2**53)
    method: str
    params: dict[str, Any] = Field(default_factory=dict[str, Any])


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore")

    interrupt_id: str
    response: Any = None


class _Fork(BaseModel):
    checkpoint_id: str
    input: Any = None
    config: dict[str, Any] = Field(default_factory=dict[str, Any])


async def obey(backend: Backend, thread_id: str, request: CommandRequest) -> dict[str, Any]:
    """The answer of the protocol: `success` or `error`."""
    try:
        command = _COMMANDS.get(request.method)
        if command is None:
            code = "not_supported" if request.method in _NOT_SUPPORTED else "unknown_command"
            why = _NOT_SUPPORTED.get(request.method, f"there are {', '.join(_COMMANDS)}")
            raise Refused(code, f"no command {request.method!r}: {why}")
        result = await command(backend, thread_id, request.params)
    except PROBLEMS as error:
        code, message = problem(error)
        return {"type": "error", "id": request.id, "error": code, "message": message}
    # Clients ask for events after this one: the run's own are all later, whatever they have seen.
    return {"type": "success", "id": request.id, "result": result, "meta": {"applied_through_seq": 0}}


async def _start(backend: Backend, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
    if not params.get("assistant_id"):
        raise Refused("invalid_argument", "run.start requires an assistant_id.")
    taken = {name: params[name] for name in _TAKEN if params.get(name) is not None}
    body = RunCreate.model_validate(
        {
            "if_not_exists": "create",
            **taken,
            "assistant_id": params["assistant_id"],
            "input": params.get("input"),
        }
    )
    fork = body.config.configurable.get("checkpoint_id")
    if isinstance(fork, str):
        body = body.model_copy(update={"checkpoint_id": fork})
    return {"run_id": (await start(backend, thread_id, body, stream=_STREAM)).run_id}


async def _respond(backend: Backend, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
    given = params.get("responses")
    responses = [_Response.model_validate(r) for r in (given if isinstance(given, list) else [params])]
    try:
        runs = await backend.threads.runs(thread_id, RunsRequest(limit=1))
        state = await backend.threads.state(thread_id)
    except ThreadNotFound:
        # The same answer as for a thread that asks nothing: it may be another's.
        runs, state = [], ThreadState("", "idle")
    waiting = {item.id for item in state.interrupts}
    for response in responses:
        if response.interrupt_id not in waiting:
            raise Refused("no_such_interrupt", f"nothing waits for interrupt {response.interrupt_id!r}")
    command = {"resume": {r.interrupt_id: r.response for r in responses}}
    command |= {name: params[name] for name in ("update", "goto") if params.get(name) is not None}
    rest = {name: params[name] for name in ("config", "metadata") if params.get(name) is not None}
    assistant = (runs[0].assistant_id if runs else "") or state.graph
    body = RunCreate.model_validate({"assistant_id": assistant, "command": command, **rest})
    return {"run_id": (await start(backend, thread_id, body, stream=_STREAM)).run_id}


async def _fork(backend: Backend, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """A run from an earlier checkpoint, of the assistant that ran last."""
    asked = _Fork.model_validate(params)
    await readable(backend, thread_id)
    request = HistoryRequest(limit=1, checkpoint_id=asked.checkpoint_id)
    if not await backend.threads.history(thread_id, request):
        raise Refused("no_such_checkpoint", f"the thread has no checkpoint {asked.checkpoint_id!r}")
    runs = await backend.threads.runs(thread_id, RunsRequest(limit=1))
    assistant = (runs[0].assistant_id if runs else "") or (await backend.threads.state(thread_id)).graph
    given = {"assistant_id": assistant, "input": asked.input, "checkpoint_id": asked.checkpoint_id}
    body = RunCreate.model_validate({**given, "config": asked.config})
    started = await start(backend, thread_id, body, stream=_STREAM)
    return {"run_id": started.run_id, "thread_id": thread_id}


_COMMANDS: Mapping[str, Callable[[Backend, str, dict[str, Any]], Awaitable[dict[str, Any]]]] = (
    MappingProxyType(
        {
            "run.start": _start,
            "input.respond": _respond,
            "agent.getTree": tree,
            "state.get": state,
            "state.listCheckpoints": checkpoints,
            "state.fork": _fork,
        }
    )
)
_LISTEN = "each request to stream/events is a subscription, and ends with its connection"
_NOT_SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "input.inject": "start a run with the message as its input, or update the state",
        "subscription.subscribe": _LISTEN,
        "subscription.unsubscribe": _LISTEN,
        "subscription.reconnect": _LISTEN,
    }
)
