"""What runs left in Temporal's histories. Needs the SDK alone, so that each environment that has it can import it."""

from dataclasses import dataclass

from temporalio.client import Client


@dataclass
class Chain:
    """The histories of one workflow id, oldest first: a run continues as new now and then."""

    thread: str
    runs: list[str]
    events: list[int]
    size_bytes: int


async def chain(client: Client, thread: str) -> Chain:
    """All workflow runs from the first one on that led to the last one of a workflow id."""
    last = (await client.get_workflow_handle(thread).describe()).raw_description.workflow_execution_info
    runs, events, size = [], [], 0
    run_id = last.first_run_id or last.execution.run_id
    while run_id:
        handle = client.get_workflow_handle(thread, run_id=run_id)
        info = (await handle.describe()).raw_description.workflow_execution_info
        runs.append(run_id)
        events.append(info.history_length)
        size += info.history_size_bytes
        run_id = "" if run_id == last.execution.run_id else await _next_run(client, thread, run_id)
    return Chain(thread, runs, events, size)


async def _next_run(client: Client, thread: str, run_id: str) -> str:
    last = None
    async for event in client.get_workflow_handle(thread, run_id=run_id).fetch_history_events(page_size=1000):
        last = event
    return last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id if last else ""


async def halves(client: Client, found: Chain) -> tuple[int, int]:
    """Bytes of all events up to the middle completed activity, and from there to the last: the result comes after it."""
    total, ends = 0, [0]
    for run_id in found.runs:
        async for event in client.get_workflow_handle(found.thread, run_id=run_id).fetch_history_events():
            total += event.ByteSize()
            if event.HasField("activity_task_completed_event_attributes"):
                ends.append(total)
    middle = ends[len(ends) // 2]
    return middle, ends[-1] - middle
