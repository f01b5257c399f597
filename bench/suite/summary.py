"""From measurements to what is told: medians, ratios to the floor, and the rows with the issue's targets.

A ratio is the median of the rounds' own ratios: a contestant by the floor *of the same round*, so that a machine that is slow for
a while is slow for both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from suite.scenarios import FLOOR, OURS

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""A scenario's measurements by contestant and round; `{}` where a contestant took no part in a round."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One contestant in one scenario. `error`: why there is nothing else. Bytes are per step; `history` in Temporal's histories,
    `checkpoint` elsewhere (databases, files)."""

    rounds: int = 0
    wall_seconds: float | None = None
    wall_ratio: float | None = None
    cpu_ms: float | None = None
    cpu_ratio: float | None = None
    history_bytes: float | None = None
    checkpoint_bytes: float | None = None
    error: str = ""


def summarize(results: Results) -> dict[str, Summary]:
    return {name: _summary(rounds, results.get(FLOOR, ())) for name, rounds in results.items()}


def _summary(rounds: Sequence[Mapping[str, Any]], floor: Sequence[Mapping[str, Any]]) -> Summary:
    good = [told for told in rounds if told and told["ok"]]
    bad = [told for told in rounds if told and not told["ok"]]
    if bad or not good:
        return Summary(rounds=len(good), error=bad[0]["error"] if bad else "not measured")
    return Summary(
        rounds=len(good),
        wall_seconds=median(map(_wall, good)),
        wall_ratio=paired(_wall, rounds, floor),
        cpu_ms=1000 * median(map(_cpu, good)),
        cpu_ratio=paired(_cpu, rounds, floor),
        history_bytes=_per_step("history_bytes", good),
        checkpoint_bytes=_per_step("checkpoint_bytes", good),
    )


def _wall(told: Mapping[str, Any]) -> float:
    return told["wall_seconds"]


def _cpu(told: Mapping[str, Any]) -> float:
    """Of one step: steps are what a contestant was asked for."""
    return told["cpu_seconds"] / told["steps"]


def _per_step(key: str, good: Sequence[Mapping[str, Any]]) -> float | None:
    found = [told[key] / told["steps"] for told in good if told.get(key) is not None]
    return median(found) if found else None


def paired(
    what: Callable[[Mapping[str, Any]], float],
    ones: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
) -> float | None:
    """The median of `ones` by `others` over the rounds in which both ended."""
    both = [
        what(one) / what(other)
        for one, other in zip(ones, others, strict=False)
        if one and other and one["ok"] and other["ok"]
    ]
    return median(both) if both else None


def target_rows(name: str, parameters: Mapping[str, int], results: Results) -> list[dict[str, Any]]:
    """The issue's targets for a scenario, in the shape in which modules of rows tell theirs."""
    ours = summarize(results).get(OURS)
    if ours is None or FLOOR not in results:
        return []
    if name == "steps":
        rows = [
            _row("wall time, by bare Temporal's", ours.wall_ratio, ours, most=1.15),
            _row("worker CPU per step, by bare Temporal's", ours.cpu_ratio, ours, most=1.25),
            _by_peer(results, least=4),
        ]
        return rows + _history_rows(parameters, results, ours)
    speed = None if ours.wall_ratio is None else 1 / ours.wall_ratio
    least = {"agents": 0.9, "branches": 0.8}[name]
    rows = [_row("speed, by bare Temporal's", speed, ours, least=least)]
    return rows + ([_by_peer(results, least=1.5)] if name == "agents" else [])


def _by_peer(results: Results, *, least: float) -> dict[str, Any]:
    peer = "temporalio-langgraph"
    theirs, ours = results.get(peer, ()), results[OURS]
    failed = next((told["error"] for told in theirs if told and not told["ok"]), "")
    value = None if failed else paired(_wall, theirs, ours)
    note = f"{peer} failed: {failed}" if failed else ("" if theirs else f"{peer} was not asked")
    return _row(f"speed, by {peer}'s", value, None, least=least) | {"note": note}


def _history_rows(parameters: Mapping[str, int], results: Results, ours: Summary) -> list[dict[str, Any]]:
    steps, size = parameters["steps"], parameters["bytes"]
    most = 1.3 * size + 2048
    halves = [told["more"].get("history_halves") for told in results[OURS] if told and told["ok"]]
    flat = median(late / early for early, late in halves) if halves and all(halves) else None
    # What activities that are handed the whole conversation would have in their inputs, and nothing else.
    full = size * (steps + 1) / 2
    smaller = full / ours.history_bytes if ours.history_bytes else None
    return [
        _row("history per step", ours.history_bytes, ours, most=most, unit="bytes"),
        _row("history of the second half of the steps, by the first", flat, ours, most=1.1),
        _row("history, smaller than the full state in each step", smaller, ours, least=50),
    ]


def _row(
    name: str,
    value: float | None,
    ours: Summary | None,
    *,
    most: float | None = None,
    least: float | None = None,
    unit: str = "×",
) -> dict[str, Any]:
    """`met` is None where there is nothing to compare."""
    limit, sign = (most, "≤") if most is not None else (least, "≥")
    met = None
    if value is not None and limit is not None:
        met = value <= limit if most is not None else value >= limit
    target = "" if limit is None else f"{sign} {limit:,.4g} {unit}"
    note = "" if ours is None else ours.error
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": target,
        "limit": limit,
        "met": met,
        "note": note,
    }
