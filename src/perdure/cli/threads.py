"""`perdure list`, `show` and `cancel`. Side: cli."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.text import Text
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from perdure.cli.asking import show_interrupt
from perdure.cli.connection import find_project, open_client
from perdure.cli.console import columns, duration, print_data, stderr, stdout
from perdure.cli.settings import OK, Settings
from perdure.cli.story import Story
from perdure.cli.story_view import story_table, used
from perdure.client import PerdureClient
from perdure.client.client import ThreadInfo
from perdure.client.handle import graph_of, thread_status
from perdure.contract import names
from perdure.contract.thread import ThreadState
from perdure.errors import ConfigError, PerdureError, RunFailed, ThreadNotFound

__all__ = ["cancel", "list_threads", "show"]

_OPEN = ("idle", "running", "interrupted")
_CLOSED = {
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Canceled",
    "terminated": "Terminated",
    "timed_out": "TimedOut",
}
_STYLES = {
    "interrupted": "yellow",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
}


async def list_threads(
    settings: Settings, *, status: str | None, graph: str | None, limit: int, as_json: bool
) -> int:
    """Threads, newest first, as a table or as JSON."""
    status = _spelling(status) if status else None
    if status is not None and status not in (*_OPEN, *_CLOSED):
        raise ConfigError(f"--status {status!r} is none of {', '.join((*_OPEN, *_CLOSED))}")
    client = await open_client(settings, find_project(settings))
    query = _query(status, graph, searchable=await client.has_search_attributes())
    found: list[ThreadInfo] = []
    async for thread in client.list(query):
        if (status and _spelling(thread.status) != status) or (graph and thread.graph != graph):
            continue
        found.append(thread)
        if len(found) >= limit:
            break
    if as_json:
        print_data(found, as_json=True)
    elif not found:
        stderr().print("no threads" + (" like that" if status or graph else ""), style="dim")
    else:
        _table(found)
    return OK


def _query(status: str | None, graph: str | None, *, searchable: bool) -> str | None:
    """What the server can filter; the rest is done here."""
    parts = ["ExecutionStatus != 'ContinuedAsNew'"]
    if status in _CLOSED:
        parts.append(f"ExecutionStatus = '{_CLOSED[status]}'")
    elif status is not None:
        parts.append("ExecutionStatus = 'Running'")
        if searchable:
            parts.append(f"{names.SEARCH_STATUS} = '{status}'")
    if graph and searchable:
        escaped = graph.replace("'", "''")
        parts.append(f"{names.SEARCH_GRAPH} = '{escaped}'")
    return " AND ".join(parts)


def _spelling(status: str) -> str:
    return status.replace("canceled", "cancelled").replace("-", "_").lower()


def _table(threads: list[ThreadInfo]) -> None:
    table = columns("thread", "graph", "status", "waits", "started", "took")
    for thread in threads:
        status = _spelling(thread.status)
        waits = str(thread.pending) if status == "interrupted" else ""
        end = thread.closed_at or datetime.now(UTC)
        table.add_row(
            thread.thread_id,
            thread.graph,
            Text(status, style=_STYLES.get(status, "dim")),
            waits,
            f"{thread.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
            duration(end - thread.started_at),
        )
    stdout().print(table)


async def show(settings: Settings, thread: str, *, last: int, as_json: bool) -> int:
    """A thread's story and state. Without a worker: its story alone. `last`: so many lines of it, unless it is 0."""
    client = await open_client(settings, find_project(settings))
    handle = client.temporal.get_workflow_handle(thread)
    description = await _describe(handle)
    story = await _story(client, thread, description)
    story.note_retries(description.raw_description.pending_activities)
    state, problem = await _state(client, thread)
    memo = await description.memo()
    running = description.status == WorkflowExecutionStatus.RUNNING
    closed_as = description.status.name.lower() if description.status else "unknown"
    status = thread_status(memo, description.typed_search_attributes) if running else _spelling(closed_as)
    usage = state.usage if state is not None else None
    graph = graph_of(memo, description.typed_search_attributes)
    if as_json:
        values = None if state is None else state.values
        interrupts = state.interrupts if state else []
        facts = {"thread": thread, "graph": graph or None, "status": status, "problem": problem}
        print_data(
            {**facts, "values": values, "interrupts": interrupts, "usage": usage, "story": story.entries},
            as_json=True,
        )
        return OK
    console = stdout()
    heading = Text(thread, style="bold").append(f" · {graph or 'no graph yet'} · ", style="dim")
    console.print(heading.append(status, style=_STYLES.get(status, "dim")))
    ended = description.close_time or datetime.now(UTC)
    # Temporal's own is that of the part since it was continued as new.
    begun = min(story.begun or description.start_time, description.start_time)
    console.print(f"started {begun.astimezone():%Y-%m-%d %H:%M:%S}, {duration(ended - begun)}", style="dim")
    if cost := used(story.usage):
        console.print(f"used {cost}", style="dim")
    console.print()
    console.print(story_table(story, last=last))
    for item in state.interrupts if state else []:
        show_interrupt(console, item)
    if problem and not story.tells(problem):
        console.print(Text(f"\n{problem}", style="red" if state else "yellow"), soft_wrap=True)
    if state is not None and state.values:
        console.print("\nstate", style="dim")
        print_data(state.values, as_json=False)
    return OK


async def _describe(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionDescription:
    try:
        return await handle.describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise ThreadNotFound(
                f"no thread {handle.id!r} in this namespace; `perdure list` shows those there are"
            ) from error
        raise


async def _state(client: PerdureClient, thread: str) -> tuple[ThreadState | None, str]:
    try:
        state = await client.state(thread)
    except RunFailed as error:
        return None, f"its state cannot be had: {error}"
    except RPCError as error:
        return (
            None,
            f"its state needs a worker, and none answers: start one (`perdure worker`) ({error.message})",
        )
    return state, state.error or ""


async def _story(client: PerdureClient, thread: str, description: WorkflowExecutionDescription) -> Story:
    """From the first part of the thread on, where that is still kept."""
    first = description.raw_description.workflow_execution_info.first_run_id
    try:
        return await _read_story(client, thread, first)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    return await _read_story(client, thread, description.run_id)


async def _read_story(client: PerdureClient, thread: str, run_id: str) -> Story:
    story = Story()
    next_run: str | None = run_id
    while next_run is not None:
        story.next_run = None
        handle = client.temporal.get_workflow_handle(thread, run_id=next_run)
        async for event in handle.fetch_history_events():
            story.apply(event)
        next_run = story.next_run
    return story


async def cancel(settings: Settings, thread: str, *, compensate: bool | None) -> int:
    """Cancel the thread's run. What it did is undone, unless `compensate` is off; where it is asked for (not just the
    default), also for a thread that has ended.

    Raises:
        ThreadNotFound: for an unknown thread. PerdureError: when it has ended already.
    """
    client = await open_client(settings, find_project(settings))
    description = await _describe(client.temporal.get_workflow_handle(thread))
    if description.status != WorkflowExecutionStatus.RUNNING and compensate:
        await client.compensate(thread)
        stderr().print(f"undoing what {thread} did", style="dim", markup=False, soft_wrap=True)
        return OK
    if description.status != WorkflowExecutionStatus.RUNNING:
        ended = _spelling(description.status.name.lower()) if description.status else "over"
        raise PerdureError(f"thread {thread!r} has ended already ({ended}): there is nothing to cancel")
    await client.cancel(thread, compensate=compensate is not False)
    stderr().print(f"cancellation of {thread} requested", style="dim", markup=False, soft_wrap=True)
    return OK
