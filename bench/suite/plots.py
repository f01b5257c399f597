"""One SVG per scenario: a bar per contestant, for wall time and for processor time per step."""

from collections.abc import Callable, Mapping

from svg import FAINT, FONT, words

from suite.report import number
from suite.scenarios import FLOOR, OURS
from suite.summary import Summary

_ROW, _LEFT, _PANEL, _GAP, _TOP = 28, 190, 300, 150, 64
_COLORS = {OURS: "#3b5bdb", FLOOR: "#495057"}
_OTHER = "#adb5bd"


def bars(title: str, found: Mapping[str, Summary]) -> str:
    """Shorter is better; each bar is told with its ratio to the floor, and a failure with its error."""
    width, height = _LEFT + 2 * (_PANEL + _GAP), _TOP + _ROW * len(found) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{FONT}" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        words(16, 24, title, size=15, weight=600),
    ]
    for place, name in enumerate(found):
        bold = 600 if name == OURS else 400
        parts.append(words(_LEFT - 10, _middle(place), name, anchor="end", weight=bold))
        if found[name].error:
            parts.append(words(_LEFT, _middle(place), f"failed: {found[name].error}"[:120], color="#c92a2a"))
    wall = ("wall time, s", lambda told: told.wall_seconds, lambda told: told.wall_ratio)
    cpu = ("worker CPU per step, ms", lambda told: told.cpu_ms, lambda told: told.cpu_ratio)
    for panel, (label, value, ratio) in enumerate((wall, cpu)):
        left = _LEFT + panel * (_PANEL + _GAP)
        parts += [words(left, _TOP - 12, label, color=FAINT, size=12), *_panel(left, found, value, ratio)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    left: int,
    found: Mapping[str, Summary],
    value: Callable[[Summary], float | None],
    ratio: Callable[[Summary], float | None],
) -> list[str]:
    longest = max((value(told) or 0 for told in found.values()), default=0) or 1
    parts: list[str] = []
    for place, (name, told) in enumerate(found.items()):
        length, by = value(told), ratio(told)
        if length is None:
            continue
        long = max(1.0, _PANEL * length / longest)
        label = number(length) + (f"  ({number(by)}×)" if by is not None and name != FLOOR else "")
        top = _TOP + place * _ROW + 5
        color = _COLORS.get(name, _OTHER)
        parts.append(
            f'<rect x="{left}" y="{top}" width="{long:.1f}" height="{_ROW - 10}" rx="2" fill="{color}"/>'
        )
        parts.append(words(left + long + 6, _middle(place), label, size=12))
    return parts


def _middle(place: int) -> float:
    return _TOP + place * _ROW + _ROW / 2 + 4.5
