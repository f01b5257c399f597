"""What the demo has shown, and whether that is what it promises. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from support.demo.steps import Step

__all__ = ["MAX_RESUME_SECONDS", "Summary"]

MAX_RESUME_SECONDS = 10.0
_MODEL_NODES = ("classify", "draft")
# What must have left the agent, by the first part of its result: mails, tickets.
_DELIVERED = {"sent": (1, 0), "rejected": (0, 0), "escalated": (0, 1), "expired": (0, 1)}


@dataclass(frozen=True)
class Summary:
    """A told story.

    Attributes:
        steps: as the history tells them, in order.
        kept: how many of them were finished before the kill.
        killed_pid: the process id of the worker that was killed.
        asks: how often the agent's state says that the category was asked for.
        resumed_seconds: from the kill to the start of the next step.
        seconds: all of it, without the wait for a person's decision.
    """

    thread: str
    result: str
    steps: list[Step]
    kept: int
    killed_pid: int
    asks: int
    mails: int
    tickets: int
    resumed_seconds: float
    seconds: float

    @property
    def model_calls(self) -> int:
        """Every attempt of the nodes that ask the model, each of which asks it once."""
        return sum(step.attempts for step in self.steps if step.node in _MODEL_NODES)

    @property
    def problems(self) -> list[str]:
        """Promises that were not kept; empty if all went well."""
        before, after = self.steps[: self.kept], self.steps[self.kept :]
        found = [
            f"step {step.node!r} was finished before the crash, but not by the worker that was killed"
            for step in before
            if step.pid != self.killed_pid
        ]
        found += [
            f"step {step.node!r} ran in the killed worker" for step in after if step.pid == self.killed_pid
        ]
        allowed = {"classify": self.asks, "decide": 2}  # `decide` asks a person, and then reads the answer
        for node in dict.fromkeys(step.node for step in self.steps):
            times = sum(step.node == node for step in self.steps)
            if times > allowed.get(node, 1):
                found.append(f"step {node!r} was run {times} times")
        mails, tickets = _DELIVERED.get(self.result.partition(":")[0], (-1, -1))
        if (self.mails, self.tickets) != (mails, tickets):
            found.append(
                f"the result is {self.result!r}, but {self.mails} mails and {self.tickets} tickets arrived"
            )
        if self.resumed_seconds > MAX_RESUME_SECONDS:
            found.append(
                f"the run went on {self.resumed_seconds:.1f} s after the kill, not within {MAX_RESUME_SECONDS:.0f} s"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs; one line of JSON."""
        steps = [
            {"node": step.node, "attempts": step.attempts, "pid": step.pid, "kept": number < self.kept}
            for number, step in enumerate(self.steps)
        ]
        numbers = {name: value for name, value in asdict(self).items() if name != "steps"}
        return {**numbers, "steps": steps, "model_calls": self.model_calls, "problems": self.problems}
