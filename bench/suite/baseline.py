"""The gate: what a small run measured against bench/baseline.json.

Only what the machine's own speed leaves alone is compared: ratios to the floor in the same run, bytes, and the start of
`perdure --help` by that of a Python that does nothing. The file states its
margins, by which a number may be larger than its baseline; smaller is always well.

    {"margins": {"cpu": 1.15, "wall": 1.35, "history": 1.05},
     "values": {"steps": {"cpu": 1.31, "wall": 1.17, "history": 5281}, ...}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.report import number
from suite.scenarios import OURS
from suite.summary import summarize

MARGINS = {"cpu": 1.15, "wall": 1.35, "history": 1.05, "start": 1.5}

Values = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One number of the gate. `reason`: why there is none to compare; that is a failure, too."""

    scenario: str
    what: str
    was: float
    now: float | None
    most: float
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.now is not None and self.now <= self.most


def values(results: Mapping[str, Any]) -> tuple[Values, dict[str, str]]:
    """What is compared, by scenario; and why scenarios have nothing."""
    found: Values = {}
    errors: dict[str, str] = {}
    for name, told in results["scenarios"].items():
        every = summarize(told["rounds"])
        ours = every[OURS]
        numbers = {"cpu": ours.cpu_ratio, "wall": ours.wall_ratio, "history": ours.history_bytes}
        found[name] = {what: value for what, value in numbers.items() if value is not None}
        failed = [f"{contestant}: {summary.error}" for contestant, summary in every.items() if summary.error]
        if failed:
            errors[name] = "; ".join(failed)
    for name, told in results["rows"].items():
        if told.get("error"):
            errors[name] = told["error"]
        found[name] = {row["name"]: row["ratio"] for row in told.get("rows", ()) if row.get("ratio")}
    return found, errors


def compare(baseline: Mapping[str, Any], results: Mapping[str, Any]) -> list[Comparison]:
    """Every number of the baseline whose scenario was run."""
    found, errors = values(results)
    comparisons: list[Comparison] = []
    for name, numbers in baseline["values"].items():
        if name not in found:
            continue
        for what, was in numbers.items():
            margin = baseline["margins"].get(what, baseline["margins"]["start"])
            now = found[name].get(what)
            reason = "" if now is not None else errors.get(name, "not measured")
            comparisons.append(
                Comparison(scenario=name, what=what, was=was, now=now, most=was * margin, reason=reason)
            )
    return comparisons


def new_baseline(results: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError where a scenario failed: what was not measured is no baseline."""
    found, errors = values(results)
    if errors:
        raise ValueError(f"no baseline from a run that failed: {errors}")
    rounded = {
        name: {what: round(value, 3) for what, value in numbers.items()} for name, numbers in found.items()
    }
    return {"margins": MARGINS, "values": rounded}


def table(comparisons: list[Comparison]) -> str:
    lines = [f"{'scenario':12} {'what':28} {'baseline':>10} {'now':>10} {'at most':>10}"]
    for one in comparisons:
        now = "-" if one.now is None else number(one.now)
        verdict = "ok" if one.ok else f"WORSE {one.reason}".rstrip()
        lines.append(
            f"{one.scenario:12} {one.what:28} {number(one.was):>10} {now:>10} {number(one.most):>10}  {verdict}"
        )
    return "\n".join(lines)
