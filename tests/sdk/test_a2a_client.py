"""`/a2a/{assistant_id}`, as the client of the A2A project uses it: it finds the card, and speaks 0.3 with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx
import pytest
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError

if TYPE_CHECKING:
    from sdk_stack import Stack


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client


async def client_of(stack: Stack, http: httpx.AsyncClient, agent: str, *, streaming: bool) -> Client:
    factory = ClientFactory(ClientConfig(httpx_client=http, streaming=streaming))
    return await factory.create_from_url(f"{stack.url}/a2a/{agent}")


async def said(client: Client, text: str, asked: Task | None = None) -> list[StreamResponse]:
    message = Message(message_id=f"said {text}", role=Role.ROLE_USER, parts=[Part(text=text)])
    if asked is not None:
        message.task_id, message.context_id = asked.id, asked.context_id
    return [event async for event in client.send_message(SendMessageRequest(message=message))]


async def test_a_question_and_its_answer(stack: Stack, http: httpx.AsyncClient) -> None:
    client = await client_of(stack, http, "counsel", streaming=False)
    [asked] = await said(client, "hi")
    assert asked.task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert asked.task.status.message.parts[0].text == "what now?"
    again = await client.get_task(GetTaskRequest(id=asked.task.id))
    assert again.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    [done] = await said(client, "go", asked.task)
    assert (done.task.context_id, done.task.status.state) == (
        asked.task.context_id,
        TaskState.TASK_STATE_COMPLETED,
    )
    assert done.task.artifacts[0].parts[0].text == "told go"
    with pytest.raises(TaskNotCancelableError):
        await client.cancel_task(CancelTaskRequest(id=done.task.id))
    with pytest.raises(TaskNotFoundError):
        await client.get_task(GetTaskRequest(id="nowhere:run"))


async def test_a_stream_that_is_joined_again(stack: Stack, http: httpx.AsyncClient) -> None:
    client = await client_of(stack, http, "chat", streaming=True)
    begun, *pieces, ended = await said(client, "hi")
    assert "".join(e.artifact_update.artifact.parts[0].text for e in pieces) == "you said: hi"
    assert ended.status_update.status.state == TaskState.TASK_STATE_COMPLETED
    joined = [event async for event in client.subscribe(SubscribeToTaskRequest(id=begun.task.id))]
    assert joined[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
