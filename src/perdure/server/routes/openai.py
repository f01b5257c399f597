"""`/v1/chat/completions` and `/v1/models`: assistants as OpenAI's clients see models. Side: server."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import JsonValue, ValidationError

from perdure.server.agents import assistants_by_name, outcome_of
from perdure.server.answers import JSON_OBJECT, OpenAiProblem, problems, told, told_stream
from perdure.server.backend import Server, Streamed, answer
from perdure.server.bodies import RunCreate
from perdure.server.completions import ChatRequest, completion, finished, run_body, streamed
from perdure.server.errors import answered
from perdure.server.jsonrpc import EXPECTED
from perdure.server.runs import run_result, start

__all__ = ["router"]

router = APIRouter(tags=["openai"])

_REFUSED = problems(OpenAiProblem, 400, 403, 404, 409, 429, 500, 501, 503)


@router.post("/v1/chat/completions", **told_stream(or_json=JSON_OBJECT, but=_REFUSED))
async def create_completion(server: Server, body: ChatRequest) -> Response:
    """Not tried again by OpenAI's clients where it failed: what the agent did is done."""
    try:
        named = (await assistants_by_name(server)).get(body.model)
        assistant_id = body.model if named is None else str(named["assistant_id"])
        run = RunCreate.model_validate(await run_body(server, body, assistant_id))
        started = await start(server, body.perdure.thread_id, run)
    except EXPECTED as error:
        return _problem(error)
    if body.stream:
        return Streamed(
            streamed(server, body, started),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )
    outcome = outcome_of(await run_result(server, started))
    finished(server, body, started, outcome)
    if outcome.failed is not None:
        return _told(500, outcome.failed, "run_failed")
    return answer(completion(body, started, outcome))


@router.get("/v1/models", **told(dict[str, JsonValue]))
async def list_models(server: Server) -> Response:
    named = await assistants_by_name(server)
    return answer({"object": "list", "data": [_model(name, item) for name, item in named.items()]})


@router.get("/v1/models/{model_id}", **told(dict[str, JsonValue], but=_REFUSED))
async def get_model(server: Server, model_id: str) -> Response:
    found = (await assistants_by_name(server)).get(model_id)
    if found is None:
        return _told(404, f"no model {model_id!r} here", "not_found")
    return answer(_model(model_id, found))


def _model(name: str, assistant: dict[str, Any]) -> dict[str, Any]:
    created = int(datetime.fromisoformat(str(assistant["created_at"])).timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": assistant["graph_id"]}


def _problem(error: Exception) -> Response:
    if isinstance(error, ValidationError):
        return _told(400, str(error.errors()[0]["msg"]), "invalid_request_error")
    response = answered(error)
    kind = "invalid_request_error" if response.status_code < 500 else "server_error"
    return _told(response.status_code, json.loads(bytes(response.body))["detail"], kind)


def _told(status: int, message: str, kind: str) -> Response:
    response = answer(
        {"error": {"message": message, "type": kind, "param": None, "code": None}}, status=status
    )
    response.headers["x-should-retry"] = "false"
    return response
