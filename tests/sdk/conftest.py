"""One stack for all tests of the SDK; the real SDK on it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from sdk_stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process for all of them: they share the stack."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("sdk"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    from sdk_stack import Stack

    with Stack(tmp_path_factory.mktemp("sdk")) as started:
        yield started


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=stack.url) as made:
        yield made
