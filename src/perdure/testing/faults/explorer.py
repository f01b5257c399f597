"""`explore`: a fault at every place where one can come, on workers of this process.

Side: testing, public. One run at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from perdure.contract.thread import DEFAULT_CARRY
from perdure.graph.effect_index import EffectIndex
from perdure.testing.faults.exploration import Exploration
from perdure.testing.faults.plan import Points, faults_at
from perdure.testing.faults.report import Report, Tried
from perdure.testing.faults.scenario import Oracle, Scenario, World, nowhere
from perdure.testing.faults.session import Session

__all__ = ["explore"]

W = TypeVar("W")


async def explore(
    graph: Any,
    input: Any,
    *,
    name: str = "graph",
    world: World[W] = nowhere,
    oracle: Oracle[W] | None = None,
    decisions: Sequence[Any] = (),
    rejection: Any = "reject",
    points: Points = "all",
    depth: Literal[1, 2] = 1,
    seed: int = 0,
    limit: timedelta = timedelta(seconds=60),
    config: Mapping[str, Any] | None = None,
    context: Any = None,
    carry_every: int = DEFAULT_CARRY,
    types: Iterable[type] = (),
    replay_every_task: bool = False,
    on_tried: Callable[[Tried], None] = lambda tried: None,
) -> Report:
    """Run `graph` on a real Temporal server once for each fault at each place, and check each run.

        report = await explore(graph, {"order": 7}, world=shop, oracle=lambda shop, ending: shop.violations())
        report.assert_ok()

    What the graph does, it does really, and often: give it a world of its own.

    Args:
        graph: a compiled graph.
        input: as for `graph.ainvoke`.
        name: what the graph is called, in thread ids and the report.
        world: makes the services outside, new for each run; open from before the run until after its checks.
        oracle: given the world and how the run ended, says what is wrong, in words or as `Violation`.
        decisions: the answers to what the graph asks, in this order.
        rejection: the answer that the fault `reject` gives instead.
        points: all faults; so many, drawn by `seed`; or just these plans, as objects or as text.
        depth: with 2, about as many runs again with two faults each, drawn by `seed`: also in what the first one leads to.
        seed: the report prints it.
        limit: a run that has not ended by then is stuck.
        config, context: as for `PerdureClient.start`.
        carry_every: continue as new after that many node calls.
        types: see `PerdurePlugin`.
        replay_every_task: keep no workflow in memory between workflow tasks: four times slower. The undisturbed runs do so
            in any case, a crash or restart makes a run replay, and each run's history is replayed at its end.
        on_tried: called after each run.

    Raises:
        ValueError: for text that is no plan.
    """
    options = {"config": config, "context": context, "carry_every": carry_every}
    scenario = Scenario(name, input, decisions, rejection, world, oracle, limit, options)
    effects = EffectIndex([graph])
    async with Session.open({name: graph}, types=types) as session:
        exploration = Exploration(
            lambda plan: scenario.run(session, plan, effects), Report(name, seed), on_tried
        )
        ready = None if replay_every_task else session.remember
        return await exploration.explore(points, faults_at, depth=depth, ready=ready)
