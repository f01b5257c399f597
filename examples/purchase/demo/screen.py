"""What the demo shows. Plain lines when the output is not a terminal."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table

from purchase.demo.summary import Books, Summary
from purchase.services.ledger import AppliedEffect, Request

__all__ = ["Screen"]

_MAX_WIDTH = 96
_UNDOS = ("release", "refund", "cancel")


class Screen:
    """Standard output, at most 96 columns wide."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.width = min(self._console.width, _MAX_WIDTH)

    def busy(self, text: str) -> AbstractContextManager[Any]:
        """Show that something takes a while; on a terminal only, where the line can go away again."""
        if not self._console.is_terminal:
            return nullcontext()
        return self._console.status(f"[dim]{text}[/]", spinner="dots", spinner_style="dim")

    def title(self) -> None:
        self._line("\n[bold]Perdure[/] · an agent buys, the shipment fails, and the money comes back\n")

    def up(self, name: str, text: str) -> None:
        """A process is there."""
        self._line(f"  [green]✓[/] {name:<10} [dim]{escape(text)}[/]")

    def order(self, heading: str, *faults: str) -> None:
        self._line(f"\n  [bold]{heading}[/]")
        for fault in faults:
            self._line(f"  [dim]switched on: {fault}[/]")

    def run_started(self, thread: str, ui_url: str) -> None:
        self._line(f"  [dim]{ui_url}/namespaces/default/workflows/{thread}[/]\n")

    def request(self, request: Request, effect: AppliedEffect | None) -> None:
        """A service has decided a request."""
        if effect is not None:
            mark = "[yellow]↩[/]" if request.operation in _UNDOS else "[green]✓[/]"
            what = _moved(effect)
        elif request.operation == "by_key":
            mark, what = "[dim]·[/]", "asked what a key has done"
        else:
            mark, what = "[red]✗[/]", "down for now" if request.status == 503 else "refused for good"
        answer = f"{request.service} answers {request.status}"
        self._line(f"  {mark} {request.operation:<10} {what:<34} [dim]{answer}[/]")

    def ended(self, text: str) -> None:
        self._line(f"  → {escape(text)}", wrap=True)

    def summary(self, summary: Summary) -> None:
        names = ("In stock", "Reserved", "Shipped", "Charged", "Refunded", "Kept")
        columns = [Column(name, justify="right") for name in names]
        table = Table("", *columns, box=None, padding=(0, 3, 0, 0), header_style="dim")
        for name, books in (
            ("At the start", summary.before),
            ("After order 1", summary.bought),
            ("After order 2", summary.undone),
        ):
            table.add_row(name, *_numbers(books))
        self._line()
        self._console.print(Padding(table, (0, 0, 1, 2)))
        if summary.problems:
            self._line("  [red]✗[/] not all is as it should be")
        else:
            self._line(
                "  [green]✓[/] every key was applied once, no piece is lost, and the shop keeps the price of"
            )
            self._line("    what it shipped and nothing else; counted in the services' own books")
        self._line(f"  [dim]It took {summary.seconds:.1f} s. The agent: examples/purchase/README.md[/]")

    def failed(self, problem: str, log: str = "") -> None:
        """On standard error: one line, and the end of a log if there is one."""
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        for line in log.splitlines():
            errors.print(f"  {line}", style="dim", markup=False)
        errors.print(f"[red]error:[/] {escape(problem)}")

    def _line(self, text: str = "", *, wrap: bool = False) -> None:
        self._console.print(text, soft_wrap=not wrap)


def _moved(effect: AppliedEffect) -> str:
    match effect.operation:
        case "reserve":
            return f"{effect.quantity} × {effect.sku} set aside"
        case "charge":
            return f"{_money(effect.amount)} {effect.currency} taken"
        case "ship":
            return f"{effect.quantity} × {effect.sku} on their way"
        case "refund":
            return f"{_money(effect.amount)} {effect.currency} given back"
        case _:
            return f"{effect.quantity} × {effect.sku} put back"


def _numbers(books: Books) -> list[str]:
    goods = [str(number) for number in (books.stock, books.reserved, books.shipped)]
    return goods + [_money(amount) for amount in (books.charged, books.refunded, books.kept)]


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
