"""How a thread's story looks: a line for each entry, alone while it happens or in columns when it is told. Side: cli."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from perdure.cli.console import duration
from perdure.cli.story import Note, NoteKind, Step, Story
from perdure.contract.usage import Usage, usage_from

__all__ = ["entry_line", "story_table", "used"]

_NAME_WIDTH = 26
_SIGNS = {
    "done": ("✓", "green"),
    "asked": ("?", "yellow"),
    "failed": ("✗", "red"),
    "cancelled": ("–", "dim"),
    "running": ("·", "cyan"),
}
_NOTES: dict[NoteKind, tuple[str, str, str]] = {
    "started": ("▸", "cyan", ""),
    "answered": ("›", "cyan", "answered "),
    "expired": ("›", "yellow", ""),
    "changed": ("›", "yellow", ""),
    "reset": ("↺", "yellow", ""),
    "cancelled": ("›", "yellow", ""),
    "carried": ("…", "dim", ""),
    "stuck": ("!", "red", "the workflow is stuck: "),
    "ended": ("■", "dim", ""),
}


def entry_line(entry: Step | Note) -> Text:
    """One line of a story, as it happens."""
    if isinstance(entry, Note):
        sign, style, before = _NOTES[entry.kind]
        line = Text(f"  {sign} ", style=style)
        return line.append(f"{before}{entry.text}", style="red" if entry.kind == "stuck" else "dim")
    sign, style = _SIGNS[entry.outcome]
    line = Text(f"  {sign} ", style=style).append(f"{entry.node:<{_NAME_WIDTH}}", style="default")
    if entry.duration is not None:
        line.append(f" {duration(entry.duration):>11}", style="dim")
    about = _about(entry)
    return line.append("   ").append_text(about) if about else line


def story_table(story: Story, *, last: int = 0) -> Table:
    """All of it, or its `last` lines: when (since its beginning), what, how long it took, and what is to be said of it.

    Calls of one node in one step of which nothing is to be said share a line: a `Send` may make hundreds.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=48)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    begun = story.begun or datetime.now(UTC)
    groups = _grouped(story.entries)
    left_out = len(groups) - last if last else 0
    if left_out > 0:
        table.add_row(
            "", Text(f"… {left_out} earlier", style="dim"), "", Text("--last 0 tells all", style="dim")
        )
    for group in groups[max(0, left_out) :]:
        entry = group[0]
        if isinstance(entry, Note):
            since = f"+{duration(entry.time - begun)}"
            table.add_row(
                since, _note_name(entry), duration(entry.waited) if entry.waited else "", _said(entry)
            )
            continue
        ends = [step.closed or datetime.now(UTC) for step in group if isinstance(step, Step)]
        name = _name(entry).append(f" ×{len(group)}" if len(group) > 1 else "")
        took = duration(max(ends) - entry.scheduled)
        table.add_row(f"+{duration(entry.scheduled - begun)}", name, took, _about(entry))
    return table


def _grouped(entries: Sequence[Step | Note]) -> list[list[Step | Note]]:
    groups: list[list[Step | Note]] = []
    for entry in entries:
        if groups and _alike(groups[-1][0], entry):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _alike(one: Step | Note, other: Step | Note) -> bool:
    if isinstance(one, Note) or isinstance(other, Note):
        return False
    same = (one.node, one.step, one.kind, one.outcome) == (other.node, other.step, other.kind, other.outcome)
    return same and one.outcome == "done" and not _about(one) and not _about(other)


def used(usage: Usage) -> str:
    """In a line; empty when nothing was."""
    parts = [f"{_count(usage.model_calls, 'model call')}, {_tokens(usage)}"] if usage.model_calls else []
    if usage.money:
        unpriced = f" and {_count(usage.unpriced, 'call')} without a price" if usage.unpriced else ""
        parts.append(f"${usage.money:.4f}{unpriced}")
    parts += [_count(usage.tool_calls, "tool call")] if usage.tool_calls else []
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _tokens(usage: Usage) -> str:
    return f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens" if usage.tokens else "0 tokens"


def _name(step: Step) -> Text:
    sign, style = _SIGNS[step.outcome]
    indent = "  " if step.kind in ("task", "effect") else ""
    label = step.node.rpartition("/")[2] if indent else step.node
    what = f"{step.kind} {label}" if indent else label
    return Text(f"{indent}{sign} ", style=style).append(what, style="default")


def _note_name(note: Note) -> Text:
    sign, style, _ = _NOTES[note.kind]
    name = {"carried": "continued as new"}.get(note.kind, note.kind)
    return Text(f"{sign} ", style=style).append(name, style="red" if note.kind == "stuck" else "dim")


def _said(note: Note) -> Text:
    if note.kind in ("carried", "reset"):
        return Text()
    failed = note.kind == "stuck" or note.text.startswith(("failed", "terminated"))
    return Text(note.text, style="red" if failed else "dim")


def _about(step: Step) -> Text:
    """What there is to say of a step besides its name and how long it took."""
    parts: list[Text] = []
    if step.attempts > 1:
        kinds = f" ({', '.join(dict.fromkeys(step.failures))})" if step.failures else ""
        parts.append(Text(f"{step.attempts} attempts{kinds}", style="yellow"))
    if step.outputs:
        parts.append(Text(", ".join(dict.fromkeys(step.outputs)), style="yellow"))
    if step.in_doubt:
        parts.append(Text("in doubt", style="yellow"))
    if step.next_attempt is not None:
        parts.append(Text(f"again in {duration(step.next_attempt - datetime.now(UTC))}", style="yellow"))
    if step.outcome == "asked":
        parts.append(Text("asked", style="dim"))
    if said := _used_by(step):
        parts.append(Text(said, style="dim"))
    if step.error:
        parts.append(Text(step.error, style="red" if step.outcome == "failed" else "dim"))
    return Text("   ").join(parts)


def _used_by(step: Step) -> str:
    usage = usage_from({"models": step.models})
    parts = [", ".join(step.models)] if step.models else []
    if usage.model_calls > 1:
        parts.append(_count(usage.model_calls, "call"))
    if usage.tokens:
        parts.append(_tokens(usage))
    if usage.money:
        parts.append(f"${usage.money:.4f}")
    tools = [name if count == 1 else f"{name} ×{count}" for name, count in step.tools.items()]
    return " · ".join([*parts, *([f"called {', '.join(tools)}"] if tools else [])])
