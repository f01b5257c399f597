"""The commands of `perdure` about a thread that exists already: their names, arguments, options, help.

Side: cli. As in `perdure.cli.app`: what a command does is imported when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.arguments import AsJson, InterruptId, Thread, finish

__all__ = ["threads"]

threads = typer.Typer()


@threads.command(name="list")
def list_threads(
    context: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(help="idle, running, interrupted, completed, failed, canceled, ...", show_default=False),
    ] = None,
    graph: Annotated[str | None, typer.Option(help="Only this graph's.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List threads, newest first."""
    from perdure.cli.threads import list_threads

    finish(list_threads(context.obj, status=status, graph=graph, limit=limit, as_json=as_json))


@threads.command()
def show(
    context: typer.Context,
    thread: Thread,
    last: Annotated[
        int, typer.Option(min=0, help="Lines of its story, the latest; 0: all. With --json always all.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Tell a thread's story: steps, attempts, errors, state."""
    from perdure.cli.threads import show

    finish(show(context.obj, thread, last=last, as_json=as_json))


@threads.command()
def history(
    context: typer.Context,
    thread: Thread,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the checkpoints that a thread keeps."""
    from perdure.cli.history import show_history

    finish(show_history(context.obj, thread, limit=limit, as_json=as_json))


@threads.command()
def retry(
    context: typer.Context,
    thread: Thread,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="An earlier checkpoint, as `history` lists it.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Also where effects would be made again.")] = False,
) -> None:
    """Start a closed thread again, from its last finished step."""
    from perdure.cli.history import retry

    finish(retry(context.obj, thread, checkpoint=checkpoint, yes=yes))


@threads.command()
def reconcile(
    context: typer.Context,
    compensate: Annotated[bool, typer.Option("--compensate", help="Undo what is owed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find terminated threads that still owe compensation."""
    from perdure.cli.reconcile import reconcile

    finish(reconcile(context.obj, compensate=compensate, as_json=as_json))


@threads.command()
def approve(
    context: typer.Context,
    thread: Thread,
    id: InterruptId = None,
    answer: Annotated[
        str, typer.Option(metavar="JSON", help="Another answer, as JSON or plain text.")
    ] = "approve",
) -> None:
    """Answer what a run asks: yes (or --answer)."""
    from perdure.cli.decisions import decide

    finish(decide(context.obj, thread, id, answer))


@threads.command()
def reject(
    context: typer.Context,
    thread: Thread,
    id: InterruptId = None,
    answer: Annotated[
        str, typer.Option(metavar="JSON", help="Another answer, as JSON or plain text.")
    ] = "reject",
) -> None:
    """Answer what a run asks: no (or --answer)."""
    from perdure.cli.decisions import decide

    finish(decide(context.obj, thread, id, answer))


@threads.command()
def cancel(
    context: typer.Context,
    thread: Thread,
    compensate: Annotated[
        bool | None,
        typer.Option(
            help="Undo what it did (the default); also of a thread that has ended.", show_default=False
        ),
    ] = None,
) -> None:
    """Cancel a thread's run, and what it is doing right now."""
    from perdure.cli.threads import cancel

    finish(cancel(context.obj, thread, compensate=compensate))
