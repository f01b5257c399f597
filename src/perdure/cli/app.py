"""The commands of `perdure`: names, arguments, options, help.

Side: cli. Owns the surface alone. Invariant: this module imports only what is light, so that `perdure --help` is quick;
what a command does is imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure import __version__
from perdure.cli.app_servers import register
from perdure.cli.arguments import AsJson, NoInput, Thread, finish
from perdure.cli.failures import report
from perdure.cli.settings import Reconcile, Settings
from perdure.cli.thread_commands import threads

__all__ = ["app", "run"]

_EPILOG = (
    "Global options may stand before or after the command. Exit codes: 0 done, 1 the run failed, "
    "2 it could not be done, 3 a decision is awaited, 130 interrupted (the run goes on)."
)

app = typer.Typer(
    help="Run LangGraph agents, unchanged, on Temporal, so that they always finish.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_WITH_VALUE = ("--config", "--address", "--namespace", "--profile", "--task-queue")
_FLAGS = ("--debug",)


def run(argv: list[str]) -> int:
    """Run one command line; the exit code."""
    arguments = _globals_first(argv)
    try:
        app(args=arguments, prog_name="perdure")
    except Exception as error:  # noqa: BLE001 - the process's edge
        return report(error, debug="--debug" in arguments)
    return 0


def _globals_first(argv: list[str]) -> list[str]:
    """Global options may stand anywhere before a "--"; the parser wants them before the command."""
    end = argv.index("--") if "--" in argv else len(argv)
    first: list[str] = []
    rest: list[str] = []
    words = iter(argv[:end])
    for word in words:
        if word in _WITH_VALUE:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word in _FLAGS or word.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            first.append(word)
        else:
            rest.append(word)
    return [*first, *rest, *argv[end:]]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perdure {__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="langgraph.json or its folder. [default: the nearest one above]", show_default=False
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Temporal's host:port. [default: TEMPORAL_ADDRESS, the profile, this project's dev server]",
            show_default=False,
        ),
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Temporal namespace.", show_default=False)] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile in Temporal's own configuration file.", show_default=False)
    ] = None,
    task_queue: Annotated[str, typer.Option(help="Where the graphs' workers listen.")] = "perdure",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    context.obj = Settings(
        config=config,
        address=address,
        namespace=namespace,
        profile=profile,
        task_queue=task_queue,
        debug=debug,
    )


register(app)


@app.command(name="run")
def run_graph(
    context: typer.Context,
    graph: Annotated[str, typer.Argument(help="The graph's name in langgraph.json.", show_default=False)],
    input: Annotated[
        str,
        typer.Argument(metavar="[INPUT]", help="JSON, @file or - for stdin.", show_default=False),
    ] = "{}",
    thread: Annotated[
        str | None, typer.Option(help="Thread id. [default: a new one]", show_default=False)
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="The thread stays open; a later run goes on from its state.")
    ] = False,
    context_json: Annotated[
        str | None,
        typer.Option("--context", metavar="JSON", help="The graph's runtime context.", show_default=False),
    ] = None,
    recursion_limit: Annotated[
        int | None, typer.Option(min=1, help="Steps after which the run fails.", show_default=False)
    ] = None,
    config_json: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="RunnableConfig: configurable, tags, metadata, ...", show_default=False
        ),
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="JSON", help='Such as {"tokens": 50000}.')] = None,
    deadline: Annotated[float | None, typer.Option(min=0.001, help="Seconds it may take in all.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it, print the thread's id, go.")] = False,
    no_input: NoInput = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Don't load the graph here to check the input.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a graph to its result; you are asked what it asks."""
    from perdure.cli.run import RunOptions, run

    options = RunOptions(
        graph=graph,
        input=input,
        thread=thread,
        keep=keep,
        context=context_json,
        recursion_limit=recursion_limit,
        config=config_json,
        budget=budget,
        deadline=deadline,
        detach=detach,
        ask=not no_input,
        check=not no_check,
        as_json=as_json,
    )
    finish(run(context.obj, options))


@app.command()
def attach(
    context: typer.Context, thread: Thread, no_input: NoInput = False, as_json: AsJson = False
) -> None:
    """Follow a run that is under way to its result."""
    from perdure.cli.run import attach

    finish(attach(context.obj, thread, ask=not no_input, as_json=as_json))


app.add_typer(threads)


@app.command()
def worker(
    context: typer.Context,
    max_activities: Annotated[int, typer.Option(min=1, help="Node calls at a time.")] = 100,
    per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Node calls a second, of all workers of the task queue.")
    ] = None,
    graceful: Annotated[float, typer.Option(min=0, help="Seconds for node calls to end when stopped.")] = 10,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server at the start.")] = 300,
    reconcile: Annotated[
        Reconcile, typer.Option(help="What to do about threads that were stopped and owe compensation.")
    ] = "report",
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve LangGraph's API there, too.", show_default=False),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Let Prometheus fetch metrics there.", show_default=False),
    ] = None,
    tied: Annotated[bool, typer.Option("--tied", hidden=True, help="Stop when stdin closes.")] = False,
) -> None:
    """Work for the project's graphs until stopped."""
    from perdure.cli.worker import WorkerOptions, work

    options = WorkerOptions(
        max_activities=max_activities,
        per_second=per_second,
        graceful=graceful,
        wait=wait,
        reconcile=reconcile,
        tied=tied,
        http=http,
        metrics=metrics,
    )
    finish(work(context.obj, options))


@app.command()
def chaos(
    context: typer.Context,
    graph: Annotated[str, typer.Argument(help="The graph's name in langgraph.json.", show_default=False)],
    input: Annotated[
        str, typer.Argument(metavar="[INPUT]", help="JSON, @file or - for stdin.", show_default=False)
    ] = "{}",
    decisions: Annotated[
        str, typer.Option(metavar="JSON", help="A list: the answers to what the graph asks, in order.")
    ] = "[]",
    rejection: Annotated[
        str, typer.Option(metavar="TEXT", help="The answer that is given in one's place, as a fault.")
    ] = "reject",
    points: Annotated[
        int | None,
        typer.Option(min=1, help="So many faults, drawn by the seed. [default: all]", show_default=False),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(metavar="FAULTS", help="Just this run, as a report names it.", show_default=False),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, max=2, help="2: also two faults in one run.")] = 1,
    seed: Annotated[int, typer.Option(help="What is drawn.")] = 0,
    processes: Annotated[
        bool, typer.Option("--processes", help="Kill real processes: the worker's, the server's. Slow.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit's XML, too.", show_default=False)
    ] = None,
) -> None:
    """Run a graph once for each fault at each place: is anything lost, doubled or stuck?

    It starts a server of its own. What the graph does, it does really and often: point it at test services.
    """
    from perdure.cli.chaos import ChaosOptions, chaos

    options = ChaosOptions(
        graph=graph,
        input=input,
        decisions=decisions,
        rejection=rejection,
        points=points,
        plan=plan,
        depth=depth,
        seed=seed,
        processes=processes,
        junit=junit,
    )
    finish(chaos(context.obj, options))


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the setup; say how to put right what is wrong."""
    from perdure.cli.doctor import doctor

    finish(doctor(context.obj, as_json=as_json))


@app.command()
def setup(context: typer.Context) -> None:
    """Register search attributes, for fast filtered lists."""
    from perdure.cli.setup import setup

    finish(setup(context.obj))
