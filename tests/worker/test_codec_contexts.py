"""Codecs are told for whom they encrypt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.worker import Worker

from perdure.client.client import PerdureClient
from perdure.contract import names
from perdure.testing import PerdureEnvironment


class Codec(PayloadCodec, WithSerializationContext):
    """Encrypts nothing; notes for whom it was asked to."""

    def __init__(self, seen: list[SerializationContext], context: SerializationContext | None = None) -> None:
        self._seen = seen
        self._context = context

    def with_context(self, context: SerializationContext) -> Codec:
        return Codec(self._seen, context)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if self._context is not None:
            self._seen.append(self._context)
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return await self.encode(payloads)


async def test_a_codec_is_told_which_activity_and_workflow_a_payload_belongs_to() -> None:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    builder.add_node("greet", lambda _: {"messages": [("ai", "hello")]})
    builder.add_edge(START, "greet")
    seen: list[SerializationContext] = []
    async with PerdureEnvironment.start({"g": builder.compile()}, worker=False) as env:
        config = env.client.config()
        config["data_converter"] = dataclasses.replace(config["data_converter"], payload_codec=Codec(seen))
        client = Client(**config)
        async with Worker(client, task_queue=env.task_queue, max_cached_workflows=0):
            perdure = PerdureClient(client, task_queue=env.task_queue)
            run = await perdure.start("g", {"messages": []}, thread_id="thread-1")
            assert [m.text for m in (await run.result())["messages"]] == ["hello"]
    activities = {c for c in seen if isinstance(c, ActivitySerializationContext)}
    assert {(c.workflow_id, c.activity_type, c.activity_id) for c in activities} == {
        ("thread-1", names.RUN_NODE, "greet:1")
    }
    assert {c.workflow_id for c in seen if isinstance(c, WorkflowSerializationContext)} == {"thread-1"}
