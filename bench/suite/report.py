"""Results as Markdown: a table of targets, a table per scenario, the machine."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.scenarios import ROWS, SCENARIOS
from suite.summary import Summary, summarize

_TITLES = {scenario.name: scenario.title for scenario in (*SCENARIOS, *ROWS)}
_VERDICT = {True: "met", False: "**MISSED**", None: "not compared"}


def markdown(results: Mapping[str, Any]) -> str:
    """All of it; `results` as `bench/run.py` writes them."""
    lines = [
        "# Benchmark results",
        "",
        *_machine(results["machine"]),
        "",
        "## Targets",
        "",
        *_targets(results),
    ]
    for name, told in results["scenarios"].items():
        lines += ["", f"## {name}: {_title(name, told['parameters'])}", "", f"![{name}]({name}.svg)", ""]
        lines += _took(told)
        lines += _contestants(summarize(told["rounds"]))
    for name, told in results["rows"].items():
        lines += ["", f"## {name}: {_TITLES.get(name, name)}", "", *_took(told)]
        lines += (
            [f"Failed: {told['error']}"] if told.get("error") else _rows([(name, r) for r in told["rows"]])
        )
    return "\n".join(lines) + "\n"


def _took(told: Mapping[str, Any]) -> list[str]:
    return [f"{told['minutes']} minutes.", ""] if "minutes" in told else []


def _title(name: str, parameters: Mapping[str, int]) -> str:
    standard = next((s.parameters for s in SCENARIOS if s.name == name), None)
    if parameters == standard:
        return _TITLES[name]
    return ", ".join(f"{value} {key}" for key, value in parameters.items())


def _machine(machine: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = " to ".join(f"{number:.1f}" for number in machine["load"])
    return [
        f"{machine['date']}, {machine['minutes']:.0f} minutes. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB; {machine['system']}; Python {machine['python']}. "
        f"Load of the machine at the start and at the end: {load}.",
        "",
        f"Versions: {versions}.",
    ]


def _targets(results: Mapping[str, Any]) -> list[str]:
    rows = [(name, row) for name, told in results["scenarios"].items() for row in told["rows"]]
    for name, told in results["rows"].items():
        if told.get("error"):
            rows.append((name, {"name": "all", "value": None, "met": None, "note": told["error"]}))
        rows += [(name, row) for row in told.get("rows", ()) if row.get("met") is not None]
    return _rows(rows)


def _rows(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    lines = ["| scenario | what | measured | target | |", "|---|---|--:|--:|---|"]
    for name, row in rows:
        verdict = _VERDICT[row.get("met")] if _target(row) else ""
        told = [name, row["name"], _value(row), _target(row), " ".join(filter(None, (verdict, _note(row))))]
        lines.append(f"| {' | '.join(_cell(text) for text in told)} |")
    return lines


def _note(row: Mapping[str, Any]) -> str:
    return f"({row['note']})" if row.get("note") else ""


def _value(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "-"
    by = f" ({number(row['ratio'])} ×)" if row.get("ratio") is not None else ""
    return f"{number(row['value'])} {row.get('unit', '')}{by}"


def _target(row: Mapping[str, Any]) -> str:
    target = row.get("target")
    if isinstance(target, str):
        return target
    limit = target if target is not None else row.get("limit")
    return "" if limit is None else f"{number(limit)} {row.get('unit', '')}".strip()


def _contestants(found: Mapping[str, Summary]) -> list[str]:
    lines = [
        "| contestant | rounds | wall | by bare | worker CPU per step | by bare | history per step | stored elsewhere per step |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, told in found.items():
        if told.error:
            lines.append(f"| {name} | {told.rounds} | failed: {_cell(told.error)} | | | | | |")
            continue
        cells = [
            name,
            str(told.rounds),
            _with_unit(told.wall_seconds, "s"),
            _with_unit(told.wall_ratio, "×"),
            _with_unit(told.cpu_ms, "ms"),
            _with_unit(told.cpu_ratio, "×"),
            _with_unit(told.history_bytes, "B"),
            _with_unit(told.checkpoint_bytes, "B"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}"


def number(value: float) -> str:
    """Three digits that mean something, whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
