"""`explore_processes`: real processes, killed with SIGKILL: the worker, and the Temporal server on its database.

Side: testing, public. Slow (a death is noticed by a heartbeat that does not come, after 5 s), so it tells what the quick
form cannot: what is left when a process really dies.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.contract import names
from perdure.devserver import DevServer
from perdure.graph.effect_index import EffectIndex
from perdure.graph.project import Project, load_project
from perdure.payloads.limits import PAYLOADS_VARIABLE
from perdure.testing.faults.checks import Violation
from perdure.testing.faults.disturbance import Disturbance
from perdure.testing.faults.ending import drive
from perdure.testing.faults.exploration import Exploration, Trial
from perdure.testing.faults.notes import READY, Notes
from perdure.testing.faults.plan import Fault, Plan, Points, faults_at
from perdure.testing.faults.report import Report, Tried
from perdure.testing.faults.scenario import Oracle, World, judge, nowhere
from perdure.testing.faults.session import history_problems
from perdure.worker.plugin import PerdurePlugin

__all__ = ["explore_processes"]

W = TypeVar("W")

_QUEUE = "perdure-faults"
_POLL_SECONDS = 0.05


async def explore_processes(
    project: Path,
    graph: str,
    input: Any,
    *,
    world: World[W] = nowhere,
    oracle: Oracle[W] | None = None,
    decisions: Sequence[Any] = (),
    points: Points = "all",
    seed: int = 0,
    limit: timedelta = timedelta(minutes=2),
    on_tried: Callable[[Tried], None] = lambda tried: None,
) -> Report:
    """Run a project's graph once for each death of a process: of the worker and of the server, before and after the body of
    each node, task and effect.

    A world tells the workers of itself by the environment (`os.environ`).

    Args:
        project: the folder of `langgraph.json`, or the file.
        graph: the graph's name there.
        points: all; so many, drawn by `seed`; or just these, such as `"kill-after@effect:charge:1"`.

    The other arguments are those of `explore`.

    Raises:
        ConfigError, GraphNotFound, GraphLoadError: for the project. ValueError: for text that is no plan.
    """
    loaded = load_project(project)
    loaded.apply_env()
    graphs = await loaded.aload(graph)
    with TemporaryDirectory(prefix="perdure-") as folder:
        directory = Path(folder)
        async with DevServer(
            directory=directory / "temporal",
            port=None,
            ui_port=None,
            http_port=None,
            search_attributes=names.SEARCH_ATTRIBUTES,
        ) as server:
            payloads = os.environ.get(PAYLOADS_VARIABLE) or directory.as_uri()
            plugin = PerdurePlugin(graphs, payloads=payloads)
            temporal = await connect_temporal(server.address, plugins=[plugin])
            processes = _Processes(
                loaded,
                graph,
                input,
                decisions,
                world,
                oracle,
                limit,
                directory,
                server,
                PerdureClient(temporal, task_queue=_QUEUE),
                graphs,
                payloads,
            )
            exploration = Exploration(processes.run, Report(graph, seed), on_tried)
            return await exploration.explore(points, partial(faults_at, processes=True))


@dataclass(frozen=True)
class _Processes(Generic[W]):
    project: Project
    graph: str
    input: Any
    decisions: Sequence[Any]
    world: World[W]
    oracle: Oracle[W] | None
    limit: timedelta
    directory: Path
    server: DevServer
    client: PerdureClient
    graphs: Mapping[str, Any]
    payloads: str

    async def run(self, plan: Plan) -> Trial:
        thread_id = f"{self.graph}-{uuid.uuid4().hex[:12]}"
        notes = Notes(self.directory / f"{thread_id}.notes")
        effects = EffectIndex(self.graphs.values())
        undisturbed = Disturbance(thread_id, Plan(), effects, strike=_nothing)
        began = time.monotonic()
        async with self.world() as world:
            async with self._kept(thread_id, notes, plan):
                run = await self.client.start(self.graph, self.input, thread_id=thread_id)
                ending = await drive(
                    run,
                    undisturbed,
                    decisions=self.decisions,
                    rejection=None,
                    strike=_nothing,
                    limit=self.limit,
                )
                plugin = PerdurePlugin(self.graphs, payloads=self.payloads)
                problems = await history_problems(self.client, thread_id, plugin)
                if ending.status in ("waiting", "stuck"):
                    await run.handle.terminate("the fault exploration has seen enough")
            found = [Violation("wrong", problem) for problem in problems]
            found += await judge(self.oracle, world, ending)
        record, struck = notes.read()
        missed = len(struck) < len(plan.faults)
        took = timedelta(seconds=time.monotonic() - began)
        return Trial(plan, ending, record, tuple(found), missed=missed, took=took)

    @asynccontextmanager
    async def _kept(self, thread_id: str, notes: Notes, plan: Plan) -> AsyncGenerator[None]:
        """A worker process, and another one when it dies; the server, started again when it is time."""
        worker = await self._spawn(thread_id, notes, plan)
        keeping = asyncio.create_task(self._keep(worker, thread_id, notes))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, worker: asyncio.subprocess.Process, thread_id: str, notes: Notes) -> None:
        restarted = False
        try:
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                if worker.returncode is not None:
                    worker = await self._spawn(thread_id, notes, Plan())
                if not restarted and any(fault.startswith("server") for fault in notes.read()[1]):
                    restarted = True
                    await self.server.restart()
        finally:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()

    async def _spawn(self, thread_id: str, notes: Notes, plan: Plan) -> asyncio.subprocess.Process:
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "perdure.testing.faults.victim"),
            *(str(self.project.file), self.server.address, _QUEUE, thread_id, str(notes.path), str(plan)),
            env={**os.environ, PAYLOADS_VARIABLE: self.payloads},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert worker.stdout is not None
        while line := await worker.stdout.readline():
            if line.decode().strip() == READY:
                return worker
        raise RuntimeError(
            f"a worker process for {str(self.project.file)!r} has ended with {await worker.wait()}"
        )


async def _nothing(fault: Fault) -> None:
    pass
