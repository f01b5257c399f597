"""Runs: how they are started, awaited, listed, answered, cancelled, and what comes while another runs."""

from __future__ import annotations

import uuid
from typing import Any

from peer_script import Script

__all__ = ["SCENARIOS"]

EMPTY: dict[str, Any] = {"log": []}
SLOW: dict[str, Any] = {"log": ["slow"]}
HI = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}


async def waiting_for_a_run(s: Script) -> None:
    thread = await s.thread()
    s.note("values", await s.client.runs.wait(thread, "chat", input=HI))
    s.note("steps", await s.client.runs.wait(await s.thread(), "steps", input=EMPTY))
    s.note("fan", await s.client.runs.wait(await s.thread(), "fan", input=EMPTY))
    s.note("jump", await s.client.runs.wait(await s.thread(), "jumping", input=EMPTY))
    s.note("context", await s.client.runs.wait(thread, "steps", input=EMPTY, context={"tone": "warm"}))
    s.note(
        "configurable",
        await s.client.runs.wait(thread, "steps", input=EMPTY, config={"configurable": {"tone": "cold"}}),
    )
    answer = await s.http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "steps", "input": EMPTY})
    s.note("headers", [key for key in ("content-location", "location") if key in answer.headers])


async def a_run_of_its_own(s: Script) -> None:
    thread = await s.thread()
    made = await s.client.runs.create(thread, "steps", input=EMPTY, metadata={"who": "me"})
    s.note("made", {k: v for k, v in made.items() if k not in ("status", "kwargs")})
    s.note("kwargs", sorted(made["kwargs"]))
    s.note("joined", await s.client.runs.join(thread, made["run_id"]))
    found = await s.client.runs.get(thread, made["run_id"])
    s.note("read", {k: found[k] for k in ("status", "metadata", "thread_id", "run_id")})
    second = await s.client.runs.create(thread, "steps", input=EMPTY)
    await s.client.runs.join(thread, second["run_id"])
    listed = await s.client.runs.list(thread)
    s.note("list", [(r["run_id"] == second["run_id"], r["status"]) for r in listed])
    s.note(
        "page", [r["run_id"] == made["run_id"] for r in await s.client.runs.list(thread, limit=1, offset=1)]
    )
    s.note("by status", len(await s.client.runs.list(thread, status="error")))
    s.note("select", [sorted(r) for r in await s.client.runs.list(thread, select=["run_id", "status"])])
    s.note("deleted", await s.client.runs.delete(thread, made["run_id"]))
    await s.refused("read after", s.client.runs.get(thread, made["run_id"]))
    await s.refused("deleted again", s.client.runs.delete(thread, made["run_id"]))
    await s.refused("join nothing", s.client.runs.join(thread, str(uuid.uuid4())))
    answer = await s.http.post(f"/threads/{thread}/runs", json={"assistant_id": "steps", "input": EMPTY})
    s.note("headers", [key for key in ("content-location", "location") if key in answer.headers])


async def runs_without_a_thread(s: Script) -> None:
    s.note("wait", await s.client.runs.wait(None, "steps", input=EMPTY))
    made = await s.client.runs.create(None, "steps", input=EMPTY)
    s.note("made", {k: v for k, v in made.items() if k not in ("status", "kwargs")})
    batch: Any = [{"assistant_id": "steps", "input": EMPTY}, {"assistant_id": "chat", "input": HI}]
    answers: Any = await s.client.runs.create_batch(batch)
    s.note("batch", [item["multitask_strategy"] for item in answers])
    kept: list[Any] = []
    s.note(
        "kept",
        await s.client.runs.wait(
            None, "steps", input=EMPTY, on_completion="keep", on_run_created=kept.append
        ),
    )
    state = await s.client.threads.get_state(kept[0]["thread_id"])
    s.note("kept state", state["values"])
    await s.refused("resume", s.client.runs.wait(None, "asking", command={"resume": "x"}))


async def threads_that_are_not_there(s: Script) -> None:
    name = str(uuid.uuid4())
    await s.refused("wait", s.client.runs.wait(name, "steps", input=EMPTY))
    await s.refused("create", s.client.runs.create(name, "steps", input=EMPTY))
    s.note("made", await s.client.runs.wait(name, "steps", input=EMPTY, if_not_exists="create"))
    await s.refused("list", s.client.runs.list(str(uuid.uuid4())))
    await s.refused("get", s.client.runs.get(str(uuid.uuid4()), str(uuid.uuid4())))
    await s.refused("cancel", s.client.runs.cancel(str(uuid.uuid4()), str(uuid.uuid4())))
    await s.refused("unknown assistant", s.client.runs.wait(None, str(uuid.uuid4()), input=EMPTY))
    await s.refused("unknown graph", s.client.runs.wait(None, "nothing", input=EMPTY))


async def a_run_that_asks(s: Script) -> None:
    thread = await s.thread()
    asked = await s.client.runs.wait(thread, "asking", input=EMPTY)
    s.note("asked", asked)
    known = await s.client.threads.get(thread)
    s.note("thread", {k: known[k] for k in ("status", "values")})
    s.note("thread's interrupts", list(known["interrupts"].values()))
    state = await s.client.threads.get_state(thread)
    s.note("state", {k: state[k] for k in ("next", "tasks", "values", "interrupts")})
    s.note("run", (await s.client.runs.list(thread))[0]["status"])
    s.note("answered", await s.client.runs.wait(thread, "asking", command={"resume": "go"}))
    s.note("idle", (await s.client.threads.get(thread))["status"])


async def several_questions(s: Script) -> None:
    thread = await s.thread()
    asked: Any = await s.client.runs.wait(thread, "asking_twice", input=EMPTY)
    questions = {str(i["value"]): i["id"] for i in asked["__interrupt__"]}
    s.note("asked", sorted(questions))
    left: Any = await s.client.runs.wait(
        thread, "asking_twice", command={"resume": {questions["left?"]: "a"}}
    )
    s.note("after one", sorted(str(i["value"]) for i in left["__interrupt__"]))
    answers = {i["id"]: f"for {i['value']}" for i in left["__interrupt__"]}
    s.note("all", await s.client.runs.wait(thread, "asking_twice", command={"resume": answers}))


async def other_input_where_something_is_asked(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "asking", input={"log": ["one"]})
    asked: Any = await s.client.runs.wait(thread, "asking", input={"log": ["two"]})
    s.note("asked", [i["value"] for i in asked["__interrupt__"]])
    s.note("answered", await s.client.runs.wait(thread, "asking", command={"resume": "go"}))


async def static_interrupts(s: Script) -> None:
    thread = await s.thread()
    s.note("before", await s.client.runs.wait(thread, "steps", input=EMPTY, interrupt_before=["second"]))
    s.note("status", (await s.client.threads.get(thread))["status"])
    s.note("on", await s.client.runs.wait(thread, "steps", input=None))
    s.note("after", await s.client.runs.wait(thread, "steps", input=EMPTY, interrupt_after=["first"]))
    s.note("all", await s.client.runs.wait(thread, "steps", input=EMPTY, interrupt_before="*"))
    state = await s.client.threads.get_state(thread)
    s.note("state", {k: state[k] for k in ("next", "interrupts")})


async def commands(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "steps", input=EMPTY)
    command: Any = {"update": {"log": ["by hand"]}, "goto": "second"}
    s.note("update and goto", await s.client.runs.wait(thread, "steps", command=command))
    s.note("update alone", await s.client.runs.wait(thread, "steps", command={"update": {"log": ["x"]}}))
    sent: Any = {"goto": [{"node": "second", "input": {"log": []}}]}
    s.note("send", await s.client.runs.wait(thread, "steps", command=sent))


async def failures(s: Script) -> None:
    thread = await s.thread()
    told: Any = await s.client.runs.wait(thread, "failing", input=EMPTY, raise_error=False)
    s.note("error", {"error": told["__error__"]["error"], "keys": sorted(told)})
    s.note("run", (await s.client.runs.list(thread))[0]["status"])
    known = await s.client.threads.get(thread)
    s.note("thread", known["status"])
    state = await s.client.threads.get_state(thread)
    s.note("state", {"next": state["next"], "values": state["values"]})
    s.note("tasks", [(t["name"], bool(t["error"])) for t in state["tasks"]])
    s.note("lives on", await s.client.runs.wait(thread, "steps", input=EMPTY))
    s.note("idle", (await s.client.threads.get(thread))["status"])
    limit: Any = {"recursion_limit": 3}
    told = await s.client.runs.wait(thread, "endless", input=EMPTY, config=limit, raise_error=False)
    s.note("recursion", told["__error__"]["error"])
    joined = await s.client.runs.create(thread, "failing", input=EMPTY)
    await s.status(thread, joined["run_id"], "error")
    answer = await s.http.get(f"/threads/{thread}/runs/{joined['run_id']}/join")
    s.note("joined", (answer.status_code, answer.json().get("__error__", {}).get("error")))


async def what_comes_while_another_runs(s: Script) -> None:
    for strategy in ("reject", "interrupt", "rollback", "enqueue"):
        thread = await s.thread()
        first = (await s.client.runs.create(thread, "slow", input=SLOW))["run_id"]
        await s.until(lambda t=thread: s.client.threads.get_state(t), lambda state: state["next"] == ["wait"])
        options: Any = {"input": {"log": ["next"]}, "multitask_strategy": strategy}
        if strategy == "reject":
            await s.refused(strategy, s.client.runs.create(thread, "slow", **options))
            await s.client.runs.cancel(thread, first, wait=True)
            continue
        second = await s.client.runs.create(thread, "slow", **options)
        if strategy == "enqueue":
            s.note("enqueued", second["status"])
            await s.client.runs.cancel(thread, first, wait=True)
        s.note(strategy, await s.client.runs.join(thread, second["run_id"]))
        s.note(f"{strategy}: runs", [r["status"] for r in await s.client.runs.list(thread)])
        s.note(f"{strategy}: state", (await s.client.threads.get_state(thread))["values"])


async def cancelling(s: Script) -> None:
    thread = await s.thread()
    run = (await s.client.runs.create(thread, "slow", input=SLOW))["run_id"]
    await s.until(lambda: s.client.threads.get_state(thread), lambda state: state["next"] == ["wait"])
    s.note("busy", (await s.client.threads.get(thread))["status"])
    s.note("cancelled", bool(await s.client.runs.cancel(thread, run, wait=True)))
    s.note("run", (await s.client.runs.get(thread, run))["status"])
    s.note("joined", await s.client.runs.join(thread, run))
    known = await s.client.threads.get(thread)
    s.note("thread", known["status"])
    state = await s.client.threads.get_state(thread)
    s.note("state", {k: state[k] for k in ("next", "values")})
    await s.refused("again", s.client.runs.cancel(thread, run))
    await s.refused("unknown", s.client.runs.cancel(thread, str(uuid.uuid4())))


async def rolling_back(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "steps", input={"log": ["kept"]})
    run = (await s.client.runs.create(thread, "slow", input=SLOW))["run_id"]
    await s.until(lambda: s.client.threads.get_state(thread), lambda state: state["next"] == ["wait"])
    await s.client.runs.cancel(thread, run, wait=True, action="rollback")
    await s.refused("run", s.client.runs.get(thread, run))
    s.note("state", (await s.client.threads.get_state(thread))["values"])
    s.note("thread", (await s.client.threads.get(thread))["status"])
    s.note("runs", len(await s.client.runs.list(thread)))


SCENARIOS = [
    waiting_for_a_run,
    a_run_of_its_own,
    runs_without_a_thread,
    threads_that_are_not_there,
    a_run_that_asks,
    several_questions,
    other_input_where_something_is_asked,
    static_interrupts,
    commands,
    failures,
    what_comes_while_another_runs,
    cancelling,
    rolling_back,
]
