"""How a thread's story looks: a line for each entry, alone while it happens or in columns when it is told. Side: cli."""

from __future__ import annotations

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


def story_table(story: Story) -> Table:
    """All of it: when (since its beginning), what, how long it took, and what is to be said of it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=48)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    first = story.entries[0] if story.entries else None
    begun = first.time if isinstance(first, Note) else first.scheduled if first else datetime.now(UTC)
    for entry in story.entries:
        if isinstance(entry, Note):
            since = f"+{duration(entry.time - begun)}"
            table.add_row(
                since, _note_name(entry), duration(entry.waited) if entry.waited else "", _said(entry)
            )
            continue
        took = (entry.closed or datetime.now(UTC)) - entry.scheduled
        table.add_row(f"+{duration(entry.scheduled - begun)}", _name(entry), duration(took), _about(entry))
    return table


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
