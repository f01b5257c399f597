"""`perdure chaos`: does a graph of the project bear a fault at every place? Side: cli."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from perdure.cli.console import stderr
from perdure.cli.run import input_text, json_of
from perdure.cli.settings import FAILED, OK, Settings
from perdure.errors import ConfigError, InputInvalid
from perdure.graph.input import check_input
from perdure.graph.project import load_project
from perdure.testing.faults import Plan, Report, Tried, explore, explore_processes

__all__ = ["ChaosOptions", "chaos"]


@dataclass(frozen=True, kw_only=True)
class ChaosOptions:
    """The command's options; `input` and `decisions` as text. `points` of `None`: all."""

    graph: str
    input: str
    decisions: str
    rejection: str
    points: int | None
    plan: str | None
    depth: int
    seed: int
    processes: bool
    junit: Path | None


async def chaos(settings: Settings, options: ChaosOptions) -> int:
    """Run it; 1 when something was lost, doubled, stuck or otherwise wrong."""
    project = load_project(settings.config)
    project.apply_env()
    given = json_of("the input", input_text(options.input))
    decisions = json_of("--decisions", options.decisions)
    if not isinstance(decisions, list):
        raise InputInvalid(f"--decisions must be a list of answers, not {options.decisions!r}")
    plans = [_plan(options.plan)] if options.plan else None
    graph = (await project.aload(options.graph))[options.graph]
    check_input(graph, options.graph, given)
    if not settings.debug:
        _silence()
    common: dict[str, Any] = {
        "decisions": cast("list[Any]", decisions),
        "points": plans or options.points or "all",
        "seed": options.seed,
        "on_tried": _show,
    }
    if options.processes:
        report = await explore_processes(project.file, options.graph, given, **common)
    else:
        report = await explore(
            graph,
            given,
            name=options.graph,
            rejection=options.rejection,
            depth=2 if options.depth > 1 else 1,
            **common,
        )
    return _end(report, options)


def _end(report: Report, options: ChaosOptions) -> int:
    if options.junit is not None:
        try:
            report.junit(options.junit)
        except OSError as error:
            raise ConfigError(f"the file {str(options.junit)!r} cannot be written: {error}") from error
    sys.stdout.write(report.table())
    return OK if report.ok else FAILED


def _plan(text: str) -> Plan:
    try:
        return Plan.parse(text)
    except ValueError as error:
        raise InputInvalid(f"--plan: {error}") from error


def _show(tried: Tried) -> None:
    console = stderr()
    sign = "·" if not tried.violations else "✗"
    told = "; ".join(str(violation) for violation in tried.violations)
    if told or console.is_terminal:
        console.print(f"{sign} {str(tried.plan) or 'undisturbed'}  {told}", markup=False, soft_wrap=True)


def _silence() -> None:
    """Faults that are meant are not worth a warning each, nor is what Python says of workflows that are dropped half-way."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore", RuntimeWarning)
    sys.unraisablehook = lambda unraisable: None
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)), error_if_already_set=False)
