"""What all runs of a thread say: `threads.join_stream`, and the agent protocol of `threads.stream`, by the real SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from langgraph_sdk.client import LangGraphClient

HI = {"messages": [{"role": "user", "content": "hi"}]}


async def new_thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def upto(stream: AsyncIterator[Any], last: Any) -> list[Any]:
    """Parts up to the one that `last` holds for."""
    parts: list[Any] = []
    async with asyncio.timeout(60):
        async for part in stream:
            parts.append(part)
            if last(part):
                break
    return parts


def done_with(run: str) -> Any:
    return lambda part: part.event == "metadata" and part.data == {"status": "run_done", "run_id": run}


async def test_a_thread_tells_of_all_its_runs_and_of_states_set_by_hand(client: LangGraphClient) -> None:
    thread = await new_thread(client)
    modes: list[Any] = ["run_modes", "state_update"]
    first = (await client.runs.create(thread, "steps", input={"log": []}, stream_mode="updates"))["run_id"]
    await client.runs.join(thread, first)
    told = await upto(await client.threads.join_stream(thread, last_event_id="-"), done_with(first))
    assert [part.event for part in told] == ["metadata", "updates", "updates", "metadata"]
    assert told[0].data == {"run_id": first, "attempt": 1}

    live = asyncio.create_task(
        upto(
            await client.threads.join_stream(thread, stream_mode=modes, last_event_id=told[-1].id),
            lambda part: part.data.get("run_id") != first and part.data.get("status") == "run_done",
        )
    )
    only = asyncio.create_task(
        upto(
            await client.threads.join_stream(thread, stream_mode="lifecycle", last_event_id=told[-1].id),
            lambda part: part.data.get("status") == "run_done",
        )
    )
    await client.threads.update_state(thread, {"log": ["by hand"]})
    second = (await client.runs.create(thread, "steps", input={"log": []}, stream_mode="values"))["run_id"]
    parts = await live
    assert [part.event for part in parts] == ["state_update", "metadata", *["values"] * 3, "metadata"]
    assert parts[0].data["thread_id"] == thread
    assert parts[0].data["state"]["values"]["log"][-1] == "by hand"
    assert [part.data for part in await only] == [
        {"run_id": second, "attempt": 1},
        {"run_id": second, "status": "run_done"},
    ]


async def test_threads_that_cannot_be_joined(client: LangGraphClient, stack: Any) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        assert (await http.get("/threads/unknown/stream")).status_code == 404
        assert (await http.get("/threads/unknown/stream?stream_mode=nope")).status_code == 422


async def test_what_a_run_says_comes_as_the_protocol_tells_it(client: LangGraphClient) -> None:
    async with client.threads.stream(assistant_id="chat") as thread:
        started = await thread.run.start(input=HI)
        [message] = [message async for message in thread.messages]
        texts = [text async for text in message.text]
        assert len(texts) > 2
        assert "".join(texts) == "you said: hi"
        final = await thread.output
        assert final["messages"][-1]["content"] == "you said: hi"
        assert final["messages"][-1]["id"] == message.message_id == (await message.output).id
        [run] = await client.runs.list(thread.thread_id)
        assert (run["run_id"], run["status"]) == (started["run_id"], "success")
    # Who comes again gets what is kept, and what happens then; under the same numbers.
    async with client.threads.stream(thread_id=thread.thread_id, assistant_id="chat") as again:
        [*events] = await upto(again.events, _ended)
        assert [event["method"] for event in events[:2]] == ["lifecycle", "checkpoints"]
        assert events[0]["params"]["data"] == {"event": "running", "graph_name": "chat"}
        assert {e["method"] for e in events} >= {"values", "updates", "messages", "tasks", "checkpoints"}
        numbers = [event["seq"] for event in events]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] < 2**53


async def test_the_graphs_and_the_tools_of_a_run(client: LangGraphClient) -> None:
    async with client.threads.stream(assistant_id="outer") as thread:
        await thread.run.start(input={"log": []})
        children = [child async for child in thread.subgraphs]
        assert [(child.graph_name, child.status) for child in children] == [("inner", "completed")]
    async with client.threads.stream(assistant_id="calling") as thread:
        await thread.run.start(input=HI)
        calls = [call async for call in thread.tool_calls]
        assert [(call.name, call.input, await call.output)[:2] for call in calls] == [
            ("add", {"a": 1, "b": 2})
        ]
        output: Any = await calls[0].output
        assert output["content"] == "3"


async def test_a_question_is_answered_by_its_id(client: LangGraphClient, stack: Any) -> None:
    async with client.threads.stream(assistant_id="asking") as thread:
        await thread.run.start(input={"log": []})
        async with asyncio.timeout(60):
            while not thread.interrupted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        [asked] = thread.interrupts
        assert (asked["value"], asked["namespace"]) == ("what now?", [])
        await thread.run.respond("go")
        assert (await thread.output)["log"] == ["told go", "after"]
        async with httpx.AsyncClient(base_url=f"{stack.url}/threads/{thread.thread_id}") as http:
            again = {"interrupt_id": asked["interrupt_id"], "namespace": [], "response": "x"}
            cases: list[tuple[str, Any, str]] = [
                ("input.respond", again, "no_such_interrupt"),
                ("input.respond", {}, "invalid_argument"),
                ("run.start", {}, "invalid_argument"),
                ("run.start", {"assistant_id": "unknown"}, "invalid_argument"),
                ("run.start", {"assistant_id": "asking", "config": 5}, "invalid_argument"),
                ("run.cancel", {}, "unknown_command"),
                ("subscription.subscribe", {"channels": ["values"]}, "not_supported"),
                ("state.fork", {}, "invalid_argument"),
            ]
            for number, (method, params, error) in enumerate(cases):
                body = {"id": number, "method": method, "params": params}
                answer = await http.post("/commands", json=body)
                assert answer.status_code == 200
                told = answer.json()
                assert (told["type"], told["id"], told["error"]) == ("error", number, error)
            assert (await http.post("/commands", json={"method": "run.start"})).status_code == 422
            wrong: list[Any] = [
                {},
                {"channels": []},
                {"channels": ["nope"]},
                {"channels": ["values"], "since": -1},
            ]
            for filters in wrong:
                assert (await http.post("/stream/events", json=filters)).status_code == 422


async def test_the_tree_of_a_run_names_the_graphs_in_it(client: LangGraphClient, stack: Any) -> None:
    thread = await new_thread(client)
    await client.runs.wait(thread, "asking_inside", input={"log": []})
    async with httpx.AsyncClient(base_url=f"{stack.url}/threads/{thread}") as http:
        body = {"id": 1, "method": "agent.getTree", "params": {}}
        tree = (await http.post("/commands", json=body)).json()["result"]["tree"]
        [child] = tree.pop("children")
        assert tree == {"namespace": [], "status": "interrupted", "graph_name": "asking_inside"}
        assert (child["graph_name"], child["status"]) == ("inner", "interrupted")
        state = {"id": 2, "method": "state.get", "params": {"namespace": child["namespace"]}}
        told = (await http.post("/commands", json=state)).json()["result"]
        assert (told["values"], told["checkpoint"]["ns"]) == ({"log": []}, child["namespace"][0])


async def test_a_failure_and_a_retry_are_told(client: LangGraphClient) -> None:
    async with client.threads.stream(assistant_id="failing") as thread:
        await thread.run.start(input={"log": []})
        [*events] = await upto(thread.subscribe(["lifecycle"]), _ended)
        assert "no such customer" in events[-1]["params"]["data"]["error"]
    async with client.threads.stream(assistant_id="flaky") as thread:
        await thread.run.start(input=HI)
        channels = ["messages", "custom:retry", "lifecycle"]
        [*events] = await upto(thread.subscribe(channels), _ended)
        [again] = [number for number, event in enumerate(events) if event["method"] == "custom"]
        assert events[again]["params"]["data"]["payload"]["attempt"] == 2
        for some in (events[:again], events[again:]):
            deltas = [e["params"]["data"].get("delta") for e in some if e["method"] == "messages"]
            assert "".join(delta["text"] for delta in deltas if delta) == "one two three"


async def test_who_lost_the_connection_goes_on_after_what_it_has(client: LangGraphClient, stack: Any) -> None:
    thread = await new_thread(client)
    async with httpx.AsyncClient(base_url=f"{stack.url}/threads/{thread}", timeout=60) as http:
        command = {"id": 1, "method": "run.start", "params": {"assistant_id": "chat", "input": HI}}
        await http.post("/commands", json=command)
        everything = await _raw(http, {"channels": ["messages", "lifecycle"]})
        for since in everything:
            rest = (
                await _raw(http, {"channels": ["messages", "lifecycle"], "since": since["seq"]})
                if since != everything[-1]
                else []
            )
            assert rest == everything[everything.index(since) + 1 :]
        scoped = await _raw(http, {"channels": ["lifecycle"], "namespaces": [[]], "depth": 0})
        assert [event["params"]["data"]["event"] for event in scoped] == ["running", "completed"]


async def _raw(http: httpx.AsyncClient, body: Any) -> list[Any]:
    events: list[Any] = []
    async with http.stream("POST", "/stream/events", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line[6:]))
                if _ended(events[-1]):
                    break
    return events


def _ended(event: Any) -> bool:
    data = event["params"]["data"]
    return (
        event["method"] == "lifecycle"
        and not event["params"]["namespace"]
        and data["event"] in ("completed", "failed")
    )
