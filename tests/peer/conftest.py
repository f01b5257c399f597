"""One stack with the comparison's graphs, and what all scenarios noted at it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "sdk")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process for all of them: they share the stack."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("peer"))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    import peer_graphs
    from peer_scenarios import told_by
    from sdk_stack import Stack

    graphs = {name: getattr(peer_graphs, name) for name in peer_graphs.NAMES}
    with Stack(tmp_path_factory.mktemp("peer"), graphs) as stack:
        yield asyncio.run(told_by(stack.url))
