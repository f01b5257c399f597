"""`perdure run` and `perdure attach`. Side: cli."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from perdure.cli.asking import ask, show_interrupt
from perdure.cli.connection import find_project, open_client, pollers
from perdure.cli.console import print_data, stderr
from perdure.cli.progress import Progress, Watch
from perdure.cli.settings import OK, WAITING, Settings
from perdure.cli.telemetry import telemetry
from perdure.client import PerdureClient, RunHandle
from perdure.contract.thread import PendingInterrupt
from perdure.errors import ConfigError, InputInvalid, InterruptUnknown, PerdureError
from perdure.graph.input import check_input
from perdure.graph.project import Project
from perdure.graph.project_limits import read_budget

__all__ = ["RunOptions", "attach", "input_text", "json_of", "run"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The command's options; `input`, `context` and `config` as text."""

    graph: str
    input: str
    thread: str | None
    keep: bool
    context: str | None
    recursion_limit: int | None
    config: str | None
    budget: str | None
    deadline: float | None
    detach: bool
    ask: bool
    check: bool
    as_json: bool


async def run(settings: Settings, options: RunOptions) -> int:
    """Start a run and follow it to its end."""
    project = find_project(settings)
    async with telemetry():
        return await _run(settings, options, project)


async def _run(settings: Settings, options: RunOptions, project: Project | None) -> int:
    given = json_of("the input", input_text(options.input))
    config = json_of("--config-json", options.config) if options.config else {}
    if not isinstance(config, dict):
        raise InputInvalid(f"--config-json must be an object, not {options.config!r}")
    if options.recursion_limit is not None:
        config = {**cast("dict[str, Any]", config), "recursion_limit": options.recursion_limit}
    context = json_of("--context", options.context) if options.context else None
    if options.check and project is not None:
        await _check(project, options.graph, given)
    client = await open_client(settings, project)
    workers = min(await pollers(client))
    if not workers and not options.detach:
        raise PerdureError(_no_worker(client) + ", or start the run now and a worker later with --detach")
    handle = await client.start(
        options.graph,
        given,
        thread_id=options.thread,
        config=cast("dict[str, Any]", config),
        context=context,
        keep_open=options.keep,
        budget=read_budget(json_of("--budget", options.budget), "--budget") if options.budget else None,
        deadline=None if options.deadline is None else timedelta(seconds=options.deadline),
    )
    if options.detach:
        return _detached(client, handle, options, workers=workers)
    _say(f"{options.graph} · thread {handle.thread_id}")
    return await _follow(client, handle, asks=options.ask, as_json=options.as_json, joined=options.keep)


async def attach(settings: Settings, thread: str, *, ask: bool, as_json: bool) -> int:
    """Follow the thread's current run to its end."""
    client = await open_client(settings, find_project(settings))
    if not min(await pollers(client)):
        raise PerdureError(_no_worker(client))
    handle = await client.handle(thread)
    _say(f"thread {thread}")
    return await _follow(client, handle, asks=ask, as_json=as_json, joined=False)


async def _follow(client: PerdureClient, run: RunHandle, *, asks: bool, as_json: bool, joined: bool) -> int:
    progress = Progress(stderr())
    result = asyncio.create_task(run.result())
    asks = asks and sys.stdin.isatty() and sys.stderr.isatty()
    try:
        async with Watch(client, run, progress, joined=joined) as watch:
            while waiting := await watch.question(result):
                answered = asks and await _answer(run, watch, progress, waiting[0])
                if not answered:
                    progress.stop()
                    _explain_waiting(run.thread_id, waiting, as_json=as_json)
                    return WAITING
            await asyncio.wait({result})
        value = await result
    except asyncio.CancelledError:
        progress.stop()
        _say(f"left; the run goes on: perdure attach {run.thread_id}, or perdure cancel {run.thread_id}")
        raise
    finally:
        result.cancel()
        await asyncio.gather(result, return_exceptions=True)
    print_data(value, as_json=as_json)
    return OK


async def _answer(run: RunHandle, watch: Watch, progress: Progress, item: PendingInterrupt) -> bool:
    """Ask the person and hand in what they say; false when they have closed stdin."""
    progress.stop()
    show_interrupt(progress.console, item)
    asking = asyncio.create_task(ask(progress.console, item))
    elsewhere = asyncio.create_task(watch.until_answered())
    try:
        await asyncio.wait({asking, elsewhere}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            await run.resume({item.id: await asking})
        else:
            progress.console.print()
            progress.note("answered meanwhile: by somebody else, or by its deadline")
    except EOFError:
        progress.console.print()
        return False
    except InterruptUnknown as error:
        progress.note(str(error))
    finally:
        asking.cancel()
        elsewhere.cancel()
    progress.start()
    return True


def _explain_waiting(thread: str, waiting: Sequence[PendingInterrupt], *, as_json: bool) -> None:
    console = stderr()
    for item in waiting:
        show_interrupt(console, item)
    _say("the run waits for a decision, and goes on by itself after it:")
    for item in waiting:
        suffix = f" {item.id}" if len(waiting) > 1 else ""
        _say(f"  perdure approve {thread}{suffix}    (or reject, or --answer JSON)")
    if as_json:
        print_data({"thread": thread, "status": "interrupted", "interrupts": waiting}, as_json=True)


def _detached(client: PerdureClient, run: RunHandle, options: RunOptions, *, workers: int) -> int:
    if not workers:
        _say(_no_worker(client))
    _say(f"started; follow it with perdure attach {run.thread_id}")
    if options.as_json:
        print_data({"thread": run.thread_id, "run": run.run_id}, as_json=True)
    else:
        sys.stdout.write(run.thread_id + "\n")
    return OK


async def _check(project: Project, graph: str, input: Any) -> None:
    """Refuse an unknown graph or a wrong input before anything is started."""
    loaded = await project.aload(graph)
    check_input(loaded[graph], graph, input)


def input_text(given: str) -> str:
    """The text itself, of a file (`@file`), or of stdin (`-`). Raises ConfigError for a file that cannot be read."""
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the input file {given[1:]!r} cannot be read: {error}") from error


def json_of(what: str, text: str) -> Any:
    """Raises InputInvalid, naming `what`, for text that is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputInvalid(
            f"{what} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg} "
            """(write it as '{"key": "value"}', @file or -)"""
        ) from error


def _no_worker(client: PerdureClient) -> str:
    return (
        f"no worker polls task queue {client.task_queue!r} in namespace {client.temporal.namespace!r}: "
        "start one (`perdure worker`, or `perdure dev` for all in one)"
    )


def _say(text: str) -> None:
    stderr().print(text, style="dim", soft_wrap=True, markup=False)
