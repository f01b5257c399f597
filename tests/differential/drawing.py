"""Which random graphs are compared, and how a failing one is made small.

The same seed draws the same graphs. `PERDURE_DIFF_EXAMPLES` and `PERDURE_DIFF_SEED` say how many, and which: more of them,
or others, than in an ordinary run of the tests.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from comparison import MOST_STOPS, Case, Outcome, natively
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import Flaky, NoSuchExample
from random_graphs import Graph, build, graphs, reached

EXAMPLES = int(os.environ.get("PERDURE_DIFF_EXAMPLES", "96"))
SEED = int(os.environ.get("PERDURE_DIFF_SEED", "0"))

MOST_CALLS = 10
LIMIT = 7
INPUT: dict[str, Any] = {"log": ["start"], "total": 0, "last": ""}
SHRINKING_SECONDS = 60.0
# Of the graphs that do the same thing in the end, some are enough.
SHARES = {
    "failed: GraphRecursionError": 0.08,
    "failed: InvalidUpdateError": 0.05,
    "failed: TypeError": 0.02,
    str(MOST_STOPS): 0.08,
    "0": 0.45,
}


def case_of(spec: Graph) -> Case:
    return Case(functools.partial(build, spec), (INPUT,), limit=LIMIT, one_by_one=len(spec.nodes) % 2 == 0)


def native_outcome(spec: Graph) -> Outcome | None:
    """`None` for a graph that LangGraph refuses, and for one that takes too long to be worth it."""
    try:
        build(spec, [])
    except ValueError:
        return None
    outcome = asyncio.run(natively(case_of(spec)))
    return outcome if outcome.length <= MOST_CALLS else None


def _search(condition: Callable[[Graph], bool], *, shrink: bool) -> Graph | None:
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    limits = settings(
        max_examples=20 * EXAMPLES,
        phases=phases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with suppress(NoSuchExample):
        return find(graphs(), condition, settings=limits, random=random.Random(SEED))
    return None


@functools.cache
def drawn() -> tuple[Graph, ...]:
    """`EXAMPLES` different graphs that LangGraph runs in a reasonable number of calls."""
    found: dict[str, Graph] = {}
    kinds: Counter[str] = Counter()

    def enough(spec: Graph) -> bool:
        key = repr(reached(spec))
        if key not in found and len(found) < EXAMPLES and (outcome := native_outcome(spec)) is not None:
            kind = outcome.ends[0] if outcome.has_failed else str(len(outcome.stops))
            if kinds[kind] < SHARES.get(kind, 1.0) * EXAMPLES:
                kinds[kind] += 1
                found[key] = spec
        return len(found) == EXAMPLES

    _search(enough, shrink=False)
    return tuple(found.values())


def smallest(failing: Graph, differs: Callable[[Graph], bool]) -> Graph:
    """The smallest graph found that fails as well. Draws what `drawn` drew, up to the failing one, and shrinks that.

    The failing one itself, where it does not fail each time.
    """
    end = time.monotonic() + SHRINKING_SECONDS
    reached = False

    def fails(spec: Graph) -> bool:
        nonlocal reached
        if not reached:
            reached = spec == failing
            return reached
        return time.monotonic() < end and native_outcome(spec) is not None and differs(spec)

    with suppress(Flaky):
        return _search(fails, shrink=True) or failing
    return failing
