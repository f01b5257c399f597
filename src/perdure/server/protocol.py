"""LangChain's agent protocol: the commands that a thread takes.

Side: server. `run.start` and `input.respond`; what goes wrong is an answer of the protocol, with the status 200.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from perdure.contract.run import RunsRequest
from perdure.contract.thread import ThreadState
from perdure.errors import InterruptUnknown, PerdureError, ThreadNotFound
from perdure.server.backend import Backend
from perdure.server.bodies import RunCreate
from perdure.server.runs import start

__all__ = ["CommandRequest", "obey"]

# All that a client may want to hear of the run, whenever it comes.
_STREAM = ["values", "updates", "tasks", "checkpoints", "custom", "speech", "tools", "lifecycle"]
_TAKEN = ("config", "metadata", "context", "multitask_strategy", "command", "checkpoint_id", "if_not_exists")


class CommandRequest(BaseModel):
    id: int = Field(ge=0)
    method: str
    params: dict[str, Any] = Field(default_factory=dict[str, Any])


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore")

    interrupt_id: str
    response: Any = None


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def obey(backend: Backend, thread_id: str, request: CommandRequest) -> dict[str, Any]:
    """The answer of the protocol: `success` or `error`."""
    try:
        if request.method == "run.start":
            run_id = await _start(backend, thread_id, request.params)
        elif request.method == "input.respond":
            run_id = await _respond(backend, thread_id, request.params)
        else:
            raise _Refused("unknown_command", f"no command {request.method!r}: run.start, input.respond")
    except _Refused as error:
        return _error(request, error.code, str(error))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return _error(request, "invalid_argument", told)
    except HTTPException as error:
        code = "permission_denied" if error.status_code in (401, 403) else "invalid_argument"
        return _error(request, code, str(error.detail))
    except (PerdureError, WorkflowUpdateFailedError) as error:
        return _error(request, *_problem(error))
    # Clients ask for events after this one: the run's own are all later, whatever they have seen.
    return {
        "type": "success",
        "id": request.id,
        "result": {"run_id": run_id},
        "meta": {"applied_through_seq": 0},
    }


async def _start(backend: Backend, thread_id: str, params: dict[str, Any]) -> str:
    if not params.get("assistant_id"):
        raise _Refused("invalid_argument", "run.start requires an assistant_id.")
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
    return (await start(backend, thread_id, body, stream=_STREAM)).run_id


async def _respond(backend: Backend, thread_id: str, params: dict[str, Any]) -> str:
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
            raise _Refused("no_such_interrupt", f"nothing waits for interrupt {response.interrupt_id!r}")
    command = {"resume": {r.interrupt_id: r.response for r in responses}}
    command |= {name: params[name] for name in ("update", "goto") if params.get(name) is not None}
    rest = {name: params[name] for name in ("config", "metadata") if params.get(name) is not None}
    assistant = (runs[0].assistant_id if runs else "") or state.graph
    body = RunCreate.model_validate({"assistant_id": assistant, "command": command, **rest})
    return (await start(backend, thread_id, body, stream=_STREAM)).run_id


def _problem(error: PerdureError | WorkflowUpdateFailedError) -> tuple[str, str]:
    cause = error.cause if isinstance(error, WorkflowUpdateFailedError) else error
    kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
    return ("no_such_interrupt" if kind == InterruptUnknown.__name__ else "invalid_argument"), str(cause)


def _error(request: CommandRequest, code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "id": request.id, "error": code, "message": message}
