"""What the demo shows, and the one question it asks. Plain lines when the output is not a terminal."""

import asyncio
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from support.contract import SupportInput
from support.demo.child import DemoError
from support.demo.steps import Step
from support.demo.summary import Summary

__all__ = ["Screen"]

_MAX_WIDTH = 96


class Screen:
    """Standard output, at most 96 columns wide."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.width = min(self._console.width, _MAX_WIDTH)
        self._started = time.monotonic()
        self._workers: dict[int, int] = {}
        self.can_ask = sys.stdin.isatty() and self._console.is_terminal

    def busy(self, text: str) -> AbstractContextManager[Any]:
        """Show that something takes a while; on a terminal only, where the line can go away again."""
        if not self._console.is_terminal:
            return nullcontext()
        return self._console.status(f"[dim]{text}[/]", spinner="dots", spinner_style="dim")

    def title(self) -> None:
        self._line()
        self._line("[bold]Perdure[/] · a support agent is killed in the middle of its work, and finishes it")
        self._line()

    def up(self, name: str, text: str) -> None:
        """A process is there."""
        self._line(f"  [green]✓[/] {name:<10} [dim]{text}[/]")

    def worker(self, number: int, pid: int, note: str) -> None:
        self._workers[pid] = number
        self.up(f"Worker {number}", f"process {pid}")
        self._console.print(Padding(Text(note, style="dim"), (0, 0, 0, 15)))

    def request(self, request: SupportInput) -> None:
        self._line()
        self._letter(f"{request.customer_email} writes", request.message)

    def run_started(self, thread: str, ui_url: str) -> None:
        self._started = time.monotonic()
        self._line(f"\n  Run [bold]{thread}[/]")
        self._line(f"  [dim]{ui_url}/namespaces/default/workflows/{thread}[/]\n")

    def step(self, step: Step) -> None:
        """A step is finished."""
        seconds = time.monotonic() - self._started
        worker = f"attempt {step.attempts}, worker {self._workers.get(step.pid, '?')}"
        what = _what(step)
        self._line(f"  [green]✓[/] {step.node:<10} {escape(what):<36} [dim]{worker:<22} {seconds:5.1f} s[/]")

    def killed(self, pid: int, following: str) -> None:
        self._line(
            f"\n  [red]✗[/] [bold red]kill -9 {pid}[/]   worker 1 is gone, and all that it had in memory"
        )
        self._line(f"    [dim]{following!r} is next, and waits in Temporal until there is a worker again[/]")
        self._line(
            "    [dim](worker 1 takes two steps and no more, so that the crash always comes here)[/]\n"
        )

    def kept(self, steps: list[Step]) -> None:
        for step in steps:
            self._line(f"  [dim]✓ {step.node:<10} kept from before the crash: not run again[/]")

    def went_on(self, seconds: float) -> None:
        self._line(f"  [green]→ the run went on {seconds:.1f} s after the kill[/]")

    def draft(self, question: dict[str, Any]) -> None:
        self._line()
        self._letter(f"The agent asks: {question['question']}  To {question['to']}", question["draft"])

    async def decision(self, *, ask: bool) -> Any:
        """A person's decision on the draft, as the agent takes it; without `ask`, an approval.

        Raises:
            DemoError: the input ended before there was one.
        """
        if not ask:
            why = "--yes" if self.can_ask else "no terminal to ask on"
            self._line(f"\n  Approved by the demo itself ({why})\n")
            return "approve"
        prompt = "\n  [bold](a)[/]pprove, [bold](e)[/]dit or [bold](r)[/]eject? "
        while True:
            self._console.print(prompt, end="")
            match (await self._read()).strip().lower():
                case "a" | "approve" | "y" | "yes":
                    answer: Any = "approve"
                case "r" | "reject" | "n" | "no":
                    answer = "reject"
                case "e" | "edit":
                    answer = {"type": "edit", "draft": await self._text()}
                    if not answer["draft"].strip():
                        continue
                case _:
                    continue
            self._line()
            return answer

    async def wait_for_enter(self) -> None:
        """Wait for the Enter key; without a terminal, for a signal."""
        key = "Enter" if self.can_ask else "Ctrl-C"
        self._line(f"\n  Everything keeps running. Press {key} to end it.")
        if self.can_ask:
            await self._read()
        else:
            await asyncio.Event().wait()

    def summary(self, summary: Summary) -> None:
        numbers = (Column("Attempts", justify="right"), Column("Worker", justify="right"))
        table = Table("", "Step", "", *numbers, box=None, padding=(0, 3, 0, 0), header_style="dim")
        for number, step in enumerate(summary.steps):
            what = "finished before the crash" if number < summary.kept else _what(step)
            worker = str(self._workers.get(step.pid, "?"))
            table.add_row("[green]✓[/]", step.node, f"[dim]{escape(what)}[/]", str(step.attempts), worker)
        self._line()
        self._console.print(Padding(table, (0, 0, 1, 2)))
        for name, value, note in (
            ("Result", summary.result, ""),
            ("Mails delivered", str(summary.mails), "counted in the mail server's folder"),
            ("Tickets opened", str(summary.tickets), "counted at the ticket desk"),
            ("Model calls", str(summary.model_calls), "every attempt of the steps that ask the model"),
            ("Went on after", f"{summary.resumed_seconds:.1f} s", "from the kill to the next step's start"),
            ("Took in all", f"{summary.seconds:.1f} s", "without the wait for your decision"),
        ):
            self._line(f"  {name:<16} [bold]{escape(value):<10}[/] [dim]{note}[/]")

    def closing(self, mail: Path | None, ui_url: str | None) -> None:
        """What to look at next."""
        self._line("\n  [bold]Next[/]")
        if ui_url:
            self._line(f"  {ui_url}  [dim]every step, with its input and output[/]")
        if mail:
            self._line(f"  {mail}  [dim]the mail itself[/]")
        self._line("  examples/support/README.md  [dim]the agent, and how to run it yourself[/]")
        if not ui_url:
            self._line("  make demo ARGS=--keep  [dim]the same, and Temporal's Web UI stays open[/]")

    def failed(self, problem: str, log: str = "") -> None:
        """On standard error: one line, and the end of a log if there is one."""
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        for line in log.splitlines():
            errors.print(f"  {line}", style="dim", markup=False)
        errors.print(f"error: {problem}", style="red", markup=False)

    def _letter(self, title: str, text: str) -> None:
        panel = Panel(
            escape(text.strip()), title=escape(title), title_align="left", border_style="dim", padding=(0, 2)
        )
        self._console.print(Padding(panel, (0, 0, 0, 2)))

    def _line(self, text: str = "") -> None:
        self._console.print(text, soft_wrap=True)

    async def _text(self) -> str:
        self._line("  Write the reply; end it with a line that holds only a dot.")
        lines: list[str] = []
        while (line := (await self._read()).rstrip("\n")) != ".":
            lines.append(line)
        return "\n".join(lines)

    async def _read(self) -> str:
        """One line from the terminal. Not in a thread: a thread that reads cannot be interrupted."""
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str] = loop.create_future()
        loop.add_reader(sys.stdin.fileno(), lambda: line.done() or line.set_result(sys.stdin.readline()))
        try:
            text = await line
        finally:
            loop.remove_reader(sys.stdin.fileno())
        if not text:
            raise DemoError("the input ended before there was an answer; use --yes to run without one")
        return text


def _what(step: Step) -> str:
    """What a step did, in a few words."""
    output = step.outcome.get("output") or {}
    match step.node:
        case "search":
            return f"{len(output['entries'])} help articles"
        case "classify":
            return str(output["category"] or f"no category: {output['answer'][:16]!r}")
        case "draft":
            return f"a reply of {len(output['draft'].split())} words"
        case "decide" if step.asks:
            return "asks a person"
        case "decide":
            return f"the answer: {output['decision']}"
        case _:
            return str(output["result"])
