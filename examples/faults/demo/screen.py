"""What the demo shows. Plain lines when the output is not a terminal."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table

from faults.demo.summary import Summary

__all__ = ["Screen"]

_MAX_WIDTH = 110


class Screen:
    """Standard output, at most 110 columns wide."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        # A narrow terminal wraps the table's cells; a pipe, which is 80 columns wide, need not.
        width = self._console.width if self._console.is_terminal else _MAX_WIDTH
        self._console.width = min(width, _MAX_WIDTH)

    def busy(self, text: str) -> AbstractContextManager[Any]:
        """Show that something takes a while; on a terminal only, where the line can go away again."""
        if not self._console.is_terminal:
            return nullcontext()
        return self._console.status(f"[dim]{text}[/]", spinner="dots", spinner_style="dim")

    def title(self) -> None:
        self._line("\n[bold]Perdure[/] · a 20-step agent, and a provider that fails every third call\n")

    def up(self, name: str, text: str) -> None:
        """Something is there."""
        self._line(f"  [green]✓[/] {name:<10} [dim]{escape(text)}[/]")

    def summary(self, summary: Summary) -> None:
        table = Table(
            Column("call", justify="right"), "fault", "what happened", Column("paid", justify="right"),
            box=None, padding=(0, 3, 0, 0), header_style="dim",
        )  # fmt: skip
        for row in summary.rows:
            table.add_row(str(row.call), row.fault, row.became or "?", "yes" if row.paid else "no")
        self._line()
        self._console.print(Padding(table, (0, 0, 1, 2)))
        self._line(
            f"  {summary.needed} answers needed, {summary.calls} calls made, {summary.paid} paid; "
            f"{summary.steps} steps"
        )
        mark = "[red]✗[/]" if summary.problems else "[green]✓[/]"
        self._line(f"  {mark} {escape(summary.answer)}")
        self._line(f"  [dim]It took {summary.seconds:.1f} s. The agent: examples/faults/README.md[/]")

    def failed(self, problem: str) -> None:
        """On standard error: one line."""
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/] {escape(problem)}")

    def _line(self, text: str = "") -> None:
        self._console.print(text, soft_wrap=True)
