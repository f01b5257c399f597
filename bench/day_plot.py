"""One SVG of simulated days: a panel per quantity, a line per day, minute by minute."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from svg import FAINT, FONT, words

_WIDTH, _LEFT, _TOP, _HIGH, _GAP = 860, 80, 40, 120, 46
_COLORS = ("#3b5bdb", "#e8590c")
_LINE = "#dee2e6"
_PANELS = (
    ("steps per second", "steps", False),
    ("database transactions per second", "updates", False),
    ("longest delay of a step, seconds (logarithmic)", "delay", True),
)
_EPISODES = ((9, "deadlines", "end"), (14, "zone lost", "end"), (16, "deployment", "start"))
_LEAST_DELAY, _MOST_DELAY = 0.1, 100.0
_text = partial(words, size=12)


def plot(days: Mapping[str, Sequence[Any]]) -> str:
    """At most two days, by name; the first one is in front."""
    height = _TOP + len(_PANELS) * (_HIGH + _GAP) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="{FONT}" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 22, "A day of 10 million threads (simulated)", size=15, weight=600),
    ]
    for place, (name, color) in enumerate(zip(days, _COLORS, strict=False)):
        x = _WIDTH - 16 - 110 * (len(days) - 1 - place)
        parts.append(_text(x, 22, name, anchor="end", color=color, weight=600))
    for place, (label, field, longest) in enumerate(_PANELS):
        lines = [
            (_per_minute(day, field, longest=longest), color)
            for day, color in zip(days.values(), _COLORS, strict=False)
        ]
        parts += _panel(_TOP + place * (_HIGH + _GAP), label, lines, named=place == 0, logarithmic=longest)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _per_minute(seconds: Sequence[Any], field: str, *, longest: bool) -> list[float]:
    values = [float(getattr(second, field)) for second in seconds]
    minutes = [values[at : at + 60] for at in range(0, len(values), 60)]
    return [max(minute) if longest else fmean(minute) for minute in minutes]


def _panel(
    top: int, label: str, lines: Sequence[tuple[list[float], str]], *, named: bool, logarithmic: bool
) -> Iterator[str]:
    most = max(max(values) for values, _ in lines) * 1.05 or 1.0
    wide, base = _WIDTH - _LEFT - 28, top + 18 + _HIGH
    yield _text(_LEFT, top + 10, label, color="#495057", weight=600)
    for share in (0.0, 1 / 3, 2 / 3, 1.0) if logarithmic else (0.0, 0.5, 1.0):
        y = base - _HIGH * share
        value = _LEAST_DELAY * (_MOST_DELAY / _LEAST_DELAY) ** share if logarithmic else most * share
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + wide}" y2="{y:.1f}" stroke="{_LINE}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:,.3g}" if logarithmic else f"{value:,.0f}", anchor="end")
    for hour, what, side in _EPISODES:
        x = _LEFT + wide * hour / 24
        yield (
            f'<line x1="{x:.1f}" y1="{base - _HIGH}" x2="{x:.1f}" y2="{base}" stroke="#adb5bd" '
            'stroke-dasharray="3 3"/>'
        )
        if named:
            yield _text(x + (4 if side == "start" else -4), base - _HIGH + 12, what, anchor=side, color=FAINT)
    for values, color in reversed(lines):
        points = " ".join(
            f"{_LEFT + wide * at / (len(values) - 1):.1f},{base - _HIGH * _share(value, most, logarithmic=logarithmic):.1f}"
            for at, value in enumerate(values)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"/>'
    for hour in range(0, 25, 3):
        yield _text(_LEFT + wide * hour / 24, base + 15, f"{hour:02}:00", anchor="middle", color=FAINT)


def _share(value: float, most: float, *, logarithmic: bool) -> float:
    """Of the panel's height."""
    if not logarithmic:
        return value / most
    return max(0.0, math.log(max(value, _LEAST_DELAY) / _LEAST_DELAY) / math.log(_MOST_DELAY / _LEAST_DELAY))
