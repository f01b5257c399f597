"""The same graph, natively and through Perdure: the same values, questions, errors, checkpoints and node calls.

| mode     | what Perdure's side does                                                                       |
|----------|------------------------------------------------------------------------------------------------|
| cached   | keeps workflows in memory: as in production                                                    |
| replayed | replays the whole history at every workflow task: as after a restart                            |
| carried  | replays, and continues as new after every node call                                             |
| elsewhere | the histories of all of these are replayed in other processes, under several hash seeds        |

Cases take turns: those by hand are carried, and most of them one of the other two; random graphs run in one mode. All run in every mode
with `PERDURE_DIFF_EVERY_MODE=1` (`make differential`); `drawing.py` says how to draw more random graphs. A failing random graph is shrunk, and printed.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cases import CASES
from comparison import Case, Outcome, all_through_perdure, natively
from drawing import EXAMPLES, case_of, drawn, native_outcome, smallest
from random_graphs import Graph

HERE = Path(__file__).parent
EVERY_MODE = bool(os.environ.get("PERDURE_DIFF_EVERY_MODE"))
BATCH = 150

MODES: dict[str, dict[str, Any]] = {
    "cached": {"replay_every_task": False},
    "replayed": {},
    "carried": {"carry_every": 1},
}


def _names(mode: str) -> list[str]:
    """The cases of a mode: all by hand where threads are carried over, else every third; every third random graph."""
    turn = list(MODES).index(mode)
    by_hand, numbers = list(CASES), range(EXAMPLES)
    if not EVERY_MODE:
        by_hand = by_hand if mode == "carried" else by_hand[turn::3]
        numbers = numbers[turn :: len(MODES)]
    return [*by_hand, *(f"random-{number:04}" for number in numbers)]


def _spec(name: str) -> Graph | None:
    return drawn()[int(name.removeprefix("random-"))] if name.startswith("random-") else None


def _case(name: str) -> Case:
    return CASES[name] if (spec := _spec(name)) is None else case_of(spec)


@functools.cache
def _native(name: str) -> Outcome:
    return asyncio.run(natively(_case(name)))


@dataclass
class Runs:
    """What the cases of one mode showed, and the histories that were recorded, as JSON."""

    outcomes: dict[str, Outcome]
    histories: dict[str, str]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Runs]]:
    """All cases of a mode that were selected, run side by side when the first of them is asked for."""
    names = {mode: _selected(request.session, mode) for mode in MODES}
    logging.disable(logging.WARNING)
    yield functools.cache(lambda mode: _run(mode, names[mode]))
    logging.disable(logging.NOTSET)


def _run(mode: str, names: list[str]) -> Runs:
    found = Runs({}, {})
    for start in range(0, len(names), BATCH):
        cases = {name: _case(name) for name in names[start : start + BATCH]}
        for name, (outcome, history) in asyncio.run(all_through_perdure(cases, **MODES[mode])).items():
            found.outcomes[name] = outcome
            found.histories[name] = history
    return found


def _selected(session: pytest.Session, mode: str) -> list[str]:
    """The names that this session's tests ask for; all of them, where the histories of all are replayed."""
    wanted: dict[str, None] = {}
    for item in session.items:
        params = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        if params.get("mode") == mode:
            wanted.update(dict.fromkeys([params["name"]] if "name" in params else _names(mode)))
    return list(wanted)


def _marked(mode: str, *values: Any, id: str) -> Any:
    # One process per mode: the cases of a mode share an environment.
    return pytest.param(
        mode, *values, id=f"{mode}-{id}", marks=pytest.mark.xdist_group(f"differential-{mode}")
    )


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("mode", "name"),
    [_marked(mode, name, id=name) for mode in MODES for name in _names(mode)],
)
def test_a_graph_does_what_langgraph_does(runs: Callable[[str], Runs], mode: str, name: str) -> None:
    native, ours = _comparable(mode, _native(name), runs(mode).outcomes[name])
    if native != ours:
        pytest.fail(_told(mode, name, native, ours), pytrace=False)


def _comparable(mode: str, native: Outcome, ours: Outcome) -> tuple[Outcome, Outcome]:
    if mode != "carried":
        return native, ours
    if native.stops:
        # A branch that waits while others go on may be asked again each time that the thread continues as new, and what
        # the others have done is told again then.
        return replace(native, calls=ours.calls, updates=ours.updates), ours
    # The values are told at each start, so that they say nothing of where a step ends.
    theirs, mine = (sorted(itertools.chain(*outcome.updates)) for outcome in (native, ours))
    return replace(native, updates=theirs), replace(ours, updates=mine)


def _told(mode: str, name: str, native: Outcome, ours: Outcome) -> str:
    lines = [f"{name}, {mode}: not what LangGraph does"]
    if (spec := _spec(name)) is not None:
        small = smallest(spec, lambda other: _differs(other, mode))
        lines += [
            "the smallest graph that differs (the same as below: it may not differ each time):",
            str(small),
            f"as a value: {small!r}",
            "drawn from:",
            str(spec),
        ]
    for field in ("stops", "ends", "updates", "calls", "history"):
        theirs, mine = getattr(native, field), getattr(ours, field)
        if theirs != mine:
            lines += [f"{field}:", f"  natively: {theirs}", f"  through Perdure: {mine}"]
    return "\n".join(lines)


def _differs(spec: Graph, mode: str) -> bool:
    native = native_outcome(spec)
    found = asyncio.run(all_through_perdure({"g": case_of(spec)}, **MODES[mode]))
    theirs, ours = _comparable(mode, native or Outcome(), found["g"][0])
    return native is not None and theirs != ours


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("mode", "seed"),
    [
        _marked(mode, seed, id=f"seed-{seed}")
        for mode, seed in (("cached", "4242"), ("replayed", "1"), ("carried", "77"))
    ],
)
def test_histories_replay_in_another_process(
    runs: Callable[[str], Runs], mode: str, seed: str, tmp_path: Path
) -> None:
    histories = runs(mode).histories
    for name, told in histories.items():
        (tmp_path / f"{name}.json").write_text(told)
    specs = {name: spec for name in histories if (spec := _spec(name)) is not None}
    (tmp_path / "specs.pickle").write_bytes(pickle.dumps(specs))
    done = subprocess.run(
        [sys.executable, str(HERE / "replay_elsewhere.py"), str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"replayed": len(histories), "failures": {}}


def test_enough_random_graphs_are_drawn() -> None:
    assert len(drawn()) == EXAMPLES


def test_a_failing_graph_is_made_small() -> None:
    """Graphs in which a node asks stand for graphs that fail."""

    def asks(spec: Graph) -> bool:
        return any(node.body == "ask" for node in spec.nodes)

    failing = next(spec for spec in drawn() if asks(spec) and len(spec.nodes) > 2)
    small = smallest(failing, asks)
    assert [node.body for node in small.nodes if node.body != "log"] == ["ask"]
    assert "'ask', then by edges to" in str(small)
