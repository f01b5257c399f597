"""The benchmark suite: Perdure, bare Temporal and the peers, in turns on one machine.

    python bench/run.py [--quick] [--only SCENARIO ...] [--contestants NAME ...] [--rounds N] [--out FOLDER]

It prints each measurement as it comes, and writes `latest.json`, `latest.md` and an SVG per scenario. `--quick` is the gate: a
small run of Perdure and bare Temporal, whose ratios are compared with bench/baseline.json; it ends with 1 where one of them is
beyond its margin. bench/README.md says how to read the numbers.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from servers import dev_server
from suite import baseline
from suite.contestant import in_turns, interpreter, measure_rows
from suite.machine import machine
from suite.plots import bars
from suite.postgres import postgres
from suite.report import markdown
from suite.scenarios import CONTESTANTS, FLOOR, OURS, POSTGRES, ROWS, SCENARIOS, Rows, Scenario
from suite.summary import summarize, target_rows

BENCH = Path(__file__).resolve().parent
BASELINE = BENCH / "baseline.json"


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run(options: argparse.Namespace, folder: Path | None) -> dict[str, Any]:
    """All scenarios that were asked for; what there is so far is written after each."""
    started, load = time.monotonic(), os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        tell(f"the machine is not idle (load {load:.1f}): trust ratios alone")
    results: dict[str, Any] = {"scenarios": {}, "rows": {}}
    servers = {"Temporal": "", "PostgreSQL": ""}
    chosen = [scenario for scenario in SCENARIOS if _wanted(scenario, options)]
    contestants = _prepared(options) if chosen else []
    requirements = [BENCH / "contestants" / name / "requirements.txt" for name in contestants]
    used = [path for path in requirements if path.exists()]

    def so_far() -> dict[str, Any]:
        spent = {"minutes": (time.monotonic() - started) / 60, "load": [load, os.getloadavg()[0]]}
        told = {"quick": options.quick, "machine": machine(used, **servers) | spent} | results
        if folder is not None:
            write(told, folder)
        return told

    with ExitStack() as stack:
        database = None
        if any(name in POSTGRES for name in contestants):
            database = stack.enter_context(postgres())
        dsn, servers["PostgreSQL"] = database or (None, "")
        for scenario in chosen:
            began = time.monotonic()
            told, servers["Temporal"] = await _scenario(scenario, contestants, dsn, options)
            results["scenarios"][scenario.name] = told | {"minutes": _minutes(began)}
            so_far()
    for rows in ROWS:
        if _wanted(rows, options) and (BENCH / f"{rows.name}.py").exists():
            began = time.monotonic()
            told = measure_rows(rows, {"quick": options.quick})
            told["minutes"] = _minutes(began)
            for row in told.get("rows", ()):
                tell(f"{rows.name}: {row['name']}: {row['value']} {row.get('unit', '')}")
            if not told.get("ok"):
                tell(f"{rows.name} failed: {told['error']}")
            results["rows"][rows.name] = told
            so_far()
    return so_far()


def _minutes(began: float) -> float:
    return round((time.monotonic() - began) / 60, 1)


def _wanted(scenario: Scenario | Rows, options: argparse.Namespace) -> bool:
    if options.only:
        return scenario.name in options.only
    return not options.quick or bool(scenario.quick)


def _prepared(options: argparse.Namespace) -> list[str]:
    """The contestants, their environments made before anything is measured."""
    found: list[str] = options.contestants or ([FLOOR, OURS] if options.quick else list(CONTESTANTS))
    for name in found:
        try:
            interpreter(name)
        except RuntimeError as error:
            tell(f"{name}: {error}")
    return found


async def _scenario(
    scenario: Scenario, contestants: list[str], dsn: str | None, options: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    """One scenario on a dev server of its own, with its database on disk; and the server's version."""
    parameters = scenario.quick if options.quick else scenario.parameters
    rounds = options.rounds or (scenario.quick_rounds if options.quick else scenario.rounds)
    names_here = [name for name in scenario.contestants if name in contestants]
    with tempfile.TemporaryDirectory(prefix="perdure-bench-server-") as folder:
        async with dev_server(folder) as server:
            # Blocks the loop, which has nothing else to do; so a signal ends all of it at once, cleanly.
            found = in_turns(
                scenario,
                names_here,
                parameters=parameters,
                rounds=rounds,
                services={"temporal": server.address, "postgres": dsn},
                tell=tell,
            )
            version = server.version
    told = {"parameters": parameters, "rounds": found}
    rows = [] if options.quick else target_rows(scenario.name, parameters, found)
    return told | {"rows": rows}, version


def write(results: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for told in results["scenarios"].values():
        for rounds in told["rounds"].values():
            for measured in rounds:
                measured.pop("step_times", None)
    (folder / "latest.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "latest.md").write_text(markdown(results))
    for name, told in results["scenarios"].items():
        title = ", ".join(f"{value:,} {key}" for key, value in told["parameters"].items())
        (folder / f"{name}.svg").write_text(bars(f"{name}: {title}", summarize(told["rounds"])))


def gate(results: dict[str, Any], options: argparse.Namespace) -> int:
    """The process's exit code."""
    if options.write_baseline:
        BASELINE.write_text(json.dumps(baseline.new_baseline(results), indent=1) + "\n")
        return 0
    if not BASELINE.exists():
        tell("\nthere is no bench/baseline.json to compare with: bench/run.py --quick --write-baseline")
        return 1
    compared = baseline.compare(json.loads(BASELINE.read_text()), results)
    tell(f"\n{baseline.table(compared)}")
    if compared and all(one.ok for one in compared):
        return 0
    tell(
        "\nworse than bench/baseline.json allows; where that is meant: bench/run.py --quick --write-baseline"
    )
    return 1


def main() -> int:
    scenarios = [scenario.name for scenario in (*SCENARIOS, *ROWS)]
    parser = argparse.ArgumentParser(description="Measure Perdure, bare Temporal and the peers in turns.")
    parser.add_argument("--quick", action="store_true", help="the gate: small, compared with the baseline")
    parser.add_argument("--only", nargs="+", choices=scenarios, metavar="SCENARIO", help=", ".join(scenarios))
    parser.add_argument(
        "--contestants", nargs="+", choices=CONTESTANTS, metavar="NAME", help=", ".join(CONTESTANTS)
    )
    parser.add_argument("--rounds", type=int, help="of each scenario; default: as many as the scenario says")
    parser.add_argument(
        "--out", type=Path, help="where the results are written; default: bench/results, of a whole run"
    )
    parser.add_argument(
        "--write-baseline", action="store_true", help="with --quick: make this run the baseline"
    )
    options = parser.parse_args()
    if options.write_baseline and (not options.quick or options.only):
        parser.error("--write-baseline is of a whole --quick run")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    whole = not (options.quick or options.only or options.contestants)
    results = asyncio.run(run(options, options.out or (BENCH / "results" if whole else None)))
    if options.quick:
        return gate(results, options)
    tell("\n" + markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
