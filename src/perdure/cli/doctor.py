"""`perdure doctor`: is everything right, and if not, what is to be done. Side: cli.

Each check gives findings: ok, a hint (works, but) or wrong. A check that needs something that is wrong already is left out.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from rich.text import Text
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from perdure.activities.prices import missing_prices
from perdure.activities.rate_limits import RATES_VARIABLE, RateLimits
from perdure.cli.connection import find_project, open_client, pollers, target_of
from perdure.cli.console import print_data, stdout
from perdure.cli.settings import FAILED, OK, Settings
from perdure.cli.setup import missing_attributes
from perdure.client import PerdureClient
from perdure.contract import names
from perdure.devserver import BinaryNotFoundError, find_temporal
from perdure.errors import PerdureError
from perdure.graph.models import model_problems
from perdure.graph.project import Project
from perdure.graph.project_settings import plugin_options
from perdure.graph.registry import GraphRegistry

__all__ = ["Finding", "doctor"]

_PACKAGES = ("perdure", "langgraph", "langchain-core", "temporalio")
_OPEN_THREADS = 200
_SIGNS = {"ok": ("✓", "green"), "hint": ("!", "yellow"), "wrong": ("✗", "red")}


@dataclass(frozen=True)
class Finding:
    """`fix` is a command or one sentence; empty when there is nothing to do."""

    level: Literal["ok", "hint", "wrong"]
    check: str
    text: str
    fix: str = ""


async def doctor(settings: Settings, *, as_json: bool) -> int:
    """Run all checks; 1 when something is wrong."""
    findings: list[Finding] = []
    async for finding in _checks(settings):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_data(findings, as_json=True)
    return FAILED if any(finding.level == "wrong" for finding in findings) else OK


def _print(finding: Finding) -> None:
    sign, style = _SIGNS[finding.level]
    line = (
        Text(f"{sign} ", style=style).append(f"{finding.check:<19}", style="bold").append(f" {finding.text}")
    )
    stdout().print(line, soft_wrap=True)
    if finding.fix:
        stdout().print(Text(f"{'':21} fix: {finding.fix}", style=style), soft_wrap=True)


async def _checks(settings: Settings) -> AsyncIterator[Finding]:
    yield _versions()
    yield _binary()
    project: Project | None = None
    try:
        project = find_project(settings)
    except PerdureError as error:
        yield Finding("wrong", "project", str(error))
    else:
        async for finding in _graphs(project):
            yield finding
    try:
        client = await open_client(settings, project)
    except PerdureError as error:
        yield Finding("wrong", "Temporal server", str(error))
        return
    try:
        yield await _server(client.temporal, target_of(settings, project).origin)
        yield await _search_attributes(client.temporal)
        yield await _workers(client)
        yield await _stuck(client)
    except RPCError as error:
        namespace = client.temporal.namespace
        yield Finding(
            "wrong",
            "Temporal server",
            f"namespace {namespace!r}: {error.message}",
            "give another --namespace",
        )


def _versions() -> Finding:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return Finding("ok", "versions", f"Python {platform.python_version()}, {packages}")


def _binary() -> Finding:
    try:
        found = find_temporal()
    except BinaryNotFoundError as error:
        return Finding("hint", "temporal CLI", f"{error} (only `perdure dev` needs it)")
    return Finding(
        "ok", "temporal CLI", f"{found.path} ({found.version or 'unknown version'}, from {found.source})"
    )


async def _graphs(project: Project | None) -> AsyncIterator[Finding]:
    if project is None:
        yield Finding(
            "hint",
            "project",
            "no langgraph.json here or above",
            "go to the project's folder, or give --config",
        )
        return
    yield Finding("ok", "project", str(project.file))
    if missing := missing_prices(project.limits.runs):
        yield Finding("wrong", "budget", missing, "pip install 'perdure[prices]'")
    try:
        RateLimits(project.limits.rates, os.environ.get(RATES_VARIABLE))
    except PerdureError as error:
        yield Finding("wrong", "rate limits", str(error))
    try:
        await plugin_options(project)
    except PerdureError as error:
        yield Finding("wrong", "settings", str(error))
    for name in project.graphs:
        try:
            graph = (await project.aload(name))[name]
            GraphRegistry({name: graph})
        except PerdureError as error:
            yield Finding("wrong", f"graph {name}", str(error))
        else:
            yield Finding("ok", f"graph {name}", f"{len(graph.nodes) - 1} nodes")
            for problem in model_problems(graph):
                yield Finding(
                    problem.level, f"graph {name}", f"node {problem.node!r}: {problem.text}", problem.fix
                )


async def _server(client: Client, origin: str) -> Finding:
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    address = client.service_client.config.target_host
    text = f"{info.server_version} at {address} (from {origin}), namespace {client.namespace!r}"
    return Finding("ok", "Temporal server", text)


async def _search_attributes(client: Client) -> Finding:
    missing = await missing_attributes(client)
    if missing:
        return Finding(
            "hint", "search attributes", f"missing: {', '.join(missing)}: lists are slower", "perdure setup"
        )
    return Finding("ok", "search attributes", ", ".join(sorted(names.SEARCH_ATTRIBUTES)))


async def _workers(client: PerdureClient) -> Finding:
    workflow, activity = await pollers(client)
    queue = f"on task queue {client.task_queue!r}"
    if not min(workflow, activity):
        kinds = [kind for kind, count in (("threads", workflow), ("node calls", activity)) if not count]
        return Finding(
            "wrong", "workers", f"none for {' and '.join(kinds)} {queue}", "perdure worker, or perdure dev"
        )
    return Finding("ok", "workers", f"{max(workflow, activity)} {queue}")


async def _stuck(client: PerdureClient) -> Finding:
    """Threads whose workflow task fails again and again: nothing else tells of them."""
    where = f"WorkflowType = '{names.THREAD_WORKFLOW}' AND ExecutionStatus = 'Running'"
    stuck: list[str] = []
    seen = 0
    async for thread in client.temporal.list_workflows(where, limit=_OPEN_THREADS):
        seen += 1
        description = await client.temporal.get_workflow_handle(thread.id, run_id=thread.run_id).describe()
        raw: Any = description.raw_description
        if raw.HasField("pending_workflow_task") and raw.pending_workflow_task.attempt > 1:
            stuck.append(f"{thread.id} (attempt {raw.pending_workflow_task.attempt})")
    if stuck:
        fix = "perdure show THREAD tells why: usually the graph changed under it (roll back) or a worker is too old"
        return Finding("wrong", "stuck threads", ", ".join(stuck), fix)
    return Finding(
        "ok", "stuck threads", f"none of {seen} open" + (" (newest)" if seen == _OPEN_THREADS else "")
    )
