"""The window of checkpoints: what belongs to a step that is over is forgotten, and nothing else."""

from __future__ import annotations

import operator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from perdure.graph.saver import WindowSaver

PARENT = "call:task"
NESTED = "call:task|deeper:other"


def checkpoint() -> Checkpoint:
    return {**empty_checkpoint(), "id": str(uuid6())}


def put(saver: WindowSaver, namespace: str, saved: Checkpoint) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": namespace}}
    saver.put(config, saved, {"source": "loop", "step": 0}, {})


def namespaces(saver: WindowSaver) -> list[str]:
    return sorted({saved.namespace for saved in saver.export()})


def test_what_a_subgraph_saved_stays_when_its_parent_saves_late() -> None:
    """A graph that saves in the background may save the checkpoint before a step after that step's subgraphs have saved."""
    saver = WindowSaver()
    before, inside = checkpoint(), checkpoint()
    put(saver, NESTED, inside)
    put(saver, PARENT, before)
    assert namespaces(saver) == [PARENT, NESTED]


def test_what_a_subgraph_saved_is_forgotten_when_its_step_is_over() -> None:
    saver = WindowSaver()
    before, inside, after = checkpoint(), checkpoint(), checkpoint()
    put(saver, PARENT, before)
    put(saver, NESTED, inside)
    put(saver, PARENT, after)
    assert namespaces(saver) == [PARENT]


def test_graphs_in_many_threads_save_side_by_side() -> None:
    saver = WindowSaver()

    def save(number: int) -> None:
        for _ in range(50):
            put(saver, f"call:task|{number}:x", checkpoint())
            put(saver, f"call:task|{number}:x|deeper:{number}", checkpoint())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(8)))
    assert len(namespaces(saver)) == 16


def test_an_update_of_an_earlier_checkpoint_is_not_taken_for_what_came_after_it() -> None:
    """Versions of channels are counted along a branch, so those of two branches coincide."""

    class Log(TypedDict):
        log: Annotated[list[str], operator.add]

    builder = (
        StateGraph(Log)
        .add_node("one", lambda _: {"log": ["one"]})
        .add_node("two", lambda _: {"log": ["two"]})
    )
    builder.add_edge(START, "one").add_edge("one", "two")
    graph = builder.compile(checkpointer=WindowSaver(keep=10))
    graph.invoke({"log": []}, {"configurable": {"thread_id": "t"}})
    [earlier] = [
        s for s in graph.get_state_history({"configurable": {"thread_id": "t"}}) if s.next == ("two",)
    ]
    updated = graph.update_state(earlier.config, {"log": ["by hand"]})
    assert graph.get_state(updated).values == {"log": ["one", "by hand"]}
    assert graph.invoke(None, updated) == {"log": ["one", "by hand", "two"]}
