"""The commands that serve: names, arguments, options, help. Side: cli. Light, as `perdure.cli.app`."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.arguments import finish

__all__ = ["register"]

Host = Annotated[str, typer.Option(help="Where LangGraph's clients reach the graphs.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Its port; the next free one if it is taken.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Node calls at a time. [default: 100]", show_default=False)
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Taken for `langgraph dev`'s sake: none is opened.")
]
NoReload = Annotated[bool, typer.Option("--no-reload", help="Likewise: code is not reloaded while it runs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(dev)
    app.command()(serve)


def dev(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 2024,
    port_temporal: Annotated[int, typer.Option(help="gRPC port; the next free one if it is taken.")] = 7233,
    ui_port: Annotated[int, typer.Option(help="Port of Temporal's Web UI, likewise.")] = 8233,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="The server alone.")] = False,
    no_http: Annotated[bool, typer.Option("--no-http", help="Nothing for LangGraph's clients.")] = False,
    n_jobs_per_worker: Jobs = None,
    in_memory: Annotated[bool, typer.Option("--in-memory", help="Keep nothing on disk.")] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Forget all threads of earlier sessions first.")
    ] = False,
    no_browser: NoBrowser = False,
    no_reload: NoReload = False,
) -> None:
    """Start Temporal, a worker and LangGraph's server API for development."""
    from perdure.cli.early import EarlyWorker

    async def work() -> int:
        async with EarlyWorker(wanted=not no_worker) as early:
            # A second's worth of modules, which the early worker loads at the same time.
            from perdure.cli.dev import DevOptions, dev

            options = DevOptions(
                port=port_temporal,
                ui_port=ui_port,
                worker=not no_worker,
                in_memory=in_memory,
                clean=clean,
                http=None if no_http else (host, port),
                max_activities=n_jobs_per_worker,
            )
            return await dev(context.obj, options, early)

    finish(work())


def serve(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 2024,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for Temporal at the start.")] = 300,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Let Prometheus fetch metrics there.", show_default=False),
    ] = None,
) -> None:
    """Serve LangGraph's server API, for workers that run elsewhere, until stopped."""
    from perdure.cli.serve import serve

    finish(serve(context.obj, host=host, port=port, wait_seconds=wait, metrics=metrics))
