"""The lists of docs/compatibility.md, made from the tests: `make compat`.

A test that proves a line of the page carries it, with its area before the colon:

    @pytest.mark.compat("Control flow: `Send` with hundreds of branches")
    @pytest.mark.compat("State: changes in place", status="differs", how="...", why="...")
    @pytest.mark.compat("`graph.invoke()` inside a workflow", status="refused", error="...")

Tests are read, not imported. Several that carry the same line are named together. What stands on the page between
`<!-- compat: STATUS -->` and `<!-- /compat -->` is generated, everything else is written by hand.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "compatibility.md"
FIELDS = {"works": frozenset[str](), "differs": frozenset({"how", "why"}), "refused": frozenset({"error"})}
_BLOCK = re.compile(r"(<!-- compat: (\w+) -->\n).*?(<!-- /compat -->)", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """One `compat` marker: `fields` are those that its status has, by name."""

    sentence: str
    status: str
    fields: tuple[tuple[str, str], ...]
    file: str

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]


def marks(tests: Path = TESTS) -> list[Mark]:
    """All markers, in the order of files and lines.

    Raises:
        ValueError: for one that is not as the module's docstring says, with its place.
    """
    return [mark for path in sorted(tests.rglob("test_*.py")) for mark in _marks_of(path, tests)]


def _marks_of(path: Path, tests: Path) -> Iterator[Mark]:
    file = str(path.relative_to(tests))
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.compat":
                yield _mark(call, file)


def _mark(call: ast.Call, file: str) -> Mark:
    fields = {str(keyword.arg): str(ast.literal_eval(keyword.value)) for keyword in call.keywords}
    status = fields.pop("status", "works")
    if len(call.args) != 1 or status not in FIELDS or fields.keys() != FIELDS[status]:
        raise ValueError(f"{file}:{call.lineno}: compat takes a sentence, and {FIELDS} by status")
    return Mark(str(ast.literal_eval(call.args[0])), status, tuple(fields.items()), file)


def page(text: str, found: list[Mark]) -> str:
    """The page's text with its generated blocks made anew."""
    tables = {"works": _works, "differs": _differs, "refused": _refused}

    def block(match: re.Match[str]) -> str:
        status = match.group(2)
        return match.group(1) + tables[status]([m for m in found if m.status == status]) + match.group(3)

    return _BLOCK.sub(block, text)


def _files(found: list[Mark], sentence: str) -> str:
    files = dict.fromkeys(mark.file for mark in found if mark.sentence == sentence)
    return "[" + ", ".join(f"`{file}`" for file in files) + "]"


def _works(found: list[Mark]) -> str:
    areas: dict[str, dict[str, None]] = {}
    for mark in found:
        area, _, rest = mark.sentence.partition(": ")
        areas.setdefault(area, {})[rest] = None
    lines: list[str] = []
    for area in sorted(areas):
        lines += ["", f"### {area}", ""]
        lines += [f"- {rest} {_files(found, f'{area}: {rest}')}" for rest in areas[area]]
    return "\n".join([*lines, "", ""])


def _differs(found: list[Mark]) -> str:
    rows = dict.fromkeys((mark.sentence, mark["how"], mark["why"]) for mark in found)
    lines = [f"| {sentence} | {how} | {why} | {_files(found, sentence)} |" for sentence, how, why in rows]
    return "\n".join(["", "| | how | why | tests |", "|---|---|---|---|", *lines, "", ""])


def _refused(found: list[Mark]) -> str:
    rows = dict.fromkeys((mark.sentence, mark["error"]) for mark in found)
    lines = [f"| {sentence} | {error} | {_files(found, sentence)} |" for sentence, error in rows]
    return "\n".join(["", "| | error | tests |", "|---|---|---|", *lines, "", ""])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), marks()))
    sys.stdout.write(f"{PAGE}\n")
