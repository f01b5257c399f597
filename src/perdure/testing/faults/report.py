"""What came of all the runs: counts, a table, and JUnit's XML.

Side: testing; pure but for `Report.junit`, which writes a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

from perdure.testing.faults.checks import Verdict, Violation, Wrong
from perdure.testing.faults.plan import Plan

__all__ = ["Report", "Tried"]

_COLUMNS = ("fault", "tried", "same", "undone", "person", "other", "lost", "doubled", "stuck", "wrong")
_WRONG: tuple[Wrong, ...] = ("lost", "doubled", "stuck", "wrong")


@dataclass(frozen=True)
class Tried:
    """One run under one plan. `missed`: a fault's place was not reached, so it did not come. `smallest`, of a plan that
    failed, is the smallest that still does. `repeated` is how many effects were made again under their key, in doubt; `kept` names those without an undo that a run left
    which did not end well."""

    plan: Plan
    verdict: Verdict
    violations: tuple[Violation, ...] = ()
    missed: bool = False
    smallest: Plan | None = None
    repeated: int = 0
    kept: tuple[str, ...] = ()
    took: timedelta = timedelta()

    @property
    def fault(self) -> str:
        """The row of the table that it belongs to."""
        if not self.plan.faults:
            return "none"
        kinds = [f"{fault.kind} {fault.place.partition(':')[0]}" for fault in self.plan.faults]
        return kinds[0] if len(kinds) == 1 else f"{len(kinds)} faults"


@dataclass
class Report:
    """`tried` begins with the undisturbed runs; `undisturbed` tells how they ended, `performed` how many effects (nodes, where
    there are no effects) the first of them did, `points` how many faults can come, `problem` why it all tells nothing."""

    graph: str
    seed: int
    points: int = 0
    performed: int = 0
    problem: str = ""
    undisturbed: str = ""
    effects: bool = True
    tried: list[Tried] = field(default_factory=list[Tried])

    @property
    def lost(self) -> int:
        return self._count("lost")

    @property
    def doubled(self) -> int:
        return self._count("doubled")

    @property
    def stuck(self) -> int:
        return self._count("stuck")

    @property
    def wrong(self) -> int:
        return self._count("wrong")

    @property
    def failed(self) -> list[Tried]:
        """The runs with violations."""
        return [tried for tried in self.tried if tried.violations]

    @property
    def ok(self) -> bool:
        return not self.problem and not self.failed

    def assert_ok(self) -> None:
        """Raises AssertionError, with the table and what was wrong, unless all is well."""
        if not self.ok:
            raise AssertionError(self.table())

    def table(self) -> str:
        """Fault by fault how the runs came out, then what was wrong, with plans to run again."""
        rows = [_COLUMNS, *(self._row(name) for name in dict.fromkeys(t.fault for t in self.tried))]
        if len(self.tried) > 1:
            rows.append(self._sum("all", self.tried))
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ]
        return "\n".join([self._title(), "", *lines, *self._notes(), *self._wrongs()]) + "\n"

    def junit(self, path: Path | str) -> None:
        """Write the runs as JUnit's XML: a test case each."""
        suite = ElementTree.Element("testsuite", name=f"perdure chaos {self.graph}")
        suite.set("tests", str(len(self.tried) + 1))
        suite.set("failures", str(len(self.failed) + bool(self.problem)))
        guard = ElementTree.SubElement(suite, "testcase", classname=self.graph, name="something was tested")
        if self.problem:
            ElementTree.SubElement(guard, "failure", message=self.problem)
        for tried in self.tried:
            case = ElementTree.SubElement(suite, "testcase", classname=self.graph, name=_name(tried))
            case.set("time", f"{tried.took.total_seconds():.3f}")
            if tried.violations:
                told = "\n".join(str(violation) for violation in tried.violations)
                ElementTree.SubElement(case, "failure", message=str(tried.violations[0])).text = told
            elif tried.missed:
                ElementTree.SubElement(case, "skipped", message="its place was not reached")
        ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)

    def _count(self, kind: Wrong) -> int:
        return sum(violation.kind == kind for tried in self.tried for violation in tried.violations)

    def _row(self, name: str) -> Sequence[str]:
        return self._sum(name, [tried for tried in self.tried if tried.fault == name])

    def _sum(self, name: str, runs: Iterable[Tried]) -> Sequence[str]:
        came = [tried for tried in runs if not tried.missed]
        verdicts: tuple[Verdict, ...] = ("same", "undone", "person", "other")
        well = [sum(t.verdict == verdict and not t.violations for t in came) for verdict in verdicts]
        badly = [sum(any(v.kind == kind for v in t.violations) for t in came) for kind in _WRONG]
        return [name, *(str(count or "-") for count in (len(came), *well, *badly))]

    def _title(self) -> str:
        what = "effects" if self.effects else "nodes"
        told = f"{self.graph}: {self.performed} {what} undisturbed, {self.points} faults possible, seed {self.seed}"
        return told if self.undisturbed == "completed" else f"{told}\nundisturbed it is {self.undisturbed}"

    def _notes(self) -> list[str]:
        notes: list[str] = []
        if missed := sum(tried.missed for tried in self.tried):
            notes.append(f"{missed} more were planned for places that their runs did not reach.")
        if repeated := sum(tried.repeated for tried in self.tried):
            notes.append(
                f"{repeated} effects were made again under their key, in doubt: what they call must know the key."
            )
        if kept := sorted({name for tried in self.tried for name in tried.kept}):
            notes.append(f"Runs that did not end well left what has no undo: {', '.join(kept)}.")
        return ["", *notes] if notes else []

    def _wrongs(self) -> list[str]:
        lines = [f"nothing was tested: {self.problem}"] if self.problem else []
        for tried in self.failed:
            lines += [_name(tried), *(f"  {violation}" for violation in tried.violations)]
            if tried.plan.faults:
                lines.append(f"  again: --plan {str(tried.smallest or tried.plan)!r}")
        return ["", *lines] if lines else []


def _name(tried: Tried) -> str:
    return str(tried.plan) or "undisturbed"
