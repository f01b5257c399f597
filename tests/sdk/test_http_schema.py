"""Requests that are made up from the server's own OpenAPI: whatever they say, the server has no fault of its own, and answers as
the document says.

`PERDURE_SCHEMA_EXAMPLES` is how many for each operation (`make fuzz-server`: many).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = int(os.environ.get("PERDURE_SCHEMA_EXAMPLES", "2"))
CONFORMS = [status_code_conformance, content_type_conformance, response_schema_conformance]
ENDLESS = {"/threads/{thread_id}/stream"}
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 10,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _known(url: str) -> Callable[[Any, int], None]:
    """Puts things that exist into three of four cases: a thread that asks, an assistant, a graph."""
    with httpx.Client(base_url=url, timeout=60) as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        asking = {"assistant_id": "asking", "input": {"log": []}}
        assert http.post(f"/threads/{thread}/runs/wait", json=asking).status_code == 200
        assistant = http.post("/assistants", json={"graph_id": "steps"}).json()["assistant_id"]

    def put(case: Any, luck: int) -> None:
        if luck == 0:
            return
        if case.method != "DELETE":
            case.path_parameters = {**(case.path_parameters or {})}
            for name, value in (("thread_id", thread), ("assistant_id", assistant)):
                if name in case.path_parameters:
                    case.path_parameters[name] = value
        if isinstance(case.query, dict):
            case.query.pop("select", None)  # what it leaves out is not there
        for body in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(body, dict):
                body.update({name: "steps" for name in ("assistant_id", "graph_id") if name in body})
                body.pop("select", None)
                # Nobody waits for a run that starts next year, and nobody is called.
                body.pop("after_seconds", None)
                body.pop("webhook", None)

    return put


@pytest.mark.timeout(3600 if EXAMPLES > 10 else 300)
def test_no_request_is_the_servers_fault(stack: Any) -> None:
    put = _known(stack.url)
    schema = schemathesis.openapi.from_url(f"{stack.url}/openapi.json")
    faults: list[str] = []
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in ENDLESS:
            continue

        @SETTINGS
        @given(case=operation.as_strategy(), luck=st.integers(0, 3))
        def ask(case: Any, luck: int) -> None:
            nonlocal tried
            tried += 1
            put(case, luck)
            answer = case.call(timeout=60)
            told = f"{answer.status_code} {answer.text[:200]}: {case.as_curl_command()[:1000]}"
            if answer.status_code >= 500 and answer.status_code != 501:
                faults.append(told)
            try:
                case.validate_response(answer, checks=CONFORMS)
            except FailureGroup as failures:
                faults.extend(f"{str(failure)[:500]}: {told}" for failure in failures.exceptions)

        ask()
    assert not faults, "\n".join(faults)
    assert tried > 40
