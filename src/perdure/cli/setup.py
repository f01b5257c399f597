"""`perdure setup`: what a namespace needs once. Side: cli."""

from __future__ import annotations

import asyncio
import re

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client

from perdure.cli.connection import find_project, open_temporal
from perdure.cli.console import stderr
from perdure.cli.settings import OK, Settings
from perdure.contract import names
from perdure.errors import PerdureError

__all__ = ["missing_attributes", "setup"]

_WAIT_SECONDS = 30


async def setup(settings: Settings) -> int:
    """Register the search attributes and wait until they can be used. May be run again."""
    client = await open_temporal(settings, find_project(settings))
    missing = await missing_attributes(client)
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes={name: _indexed_type(names.SEARCH_ATTRIBUTES[name]) for name in missing},
            )
        )
        await _until_visible(client)
    done = f"registered {', '.join(missing)}" if missing else "all search attributes are registered already"
    stderr().print(f"✓ namespace {client.namespace}: {done}", markup=False, soft_wrap=True)
    return OK


async def missing_attributes(client: Client) -> list[str]:
    """Perdure's search attributes that the namespace does not have."""
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return sorted(set(names.SEARCH_ATTRIBUTES) - set(answer.custom_attributes))


async def _until_visible(client: Client) -> None:
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            while await missing_attributes(client):  # noqa: ASYNC110 - the server changes it
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise PerdureError(
            f"the search attributes were added to namespace {client.namespace!r} but are not there after "
            f"{_WAIT_SECONDS} s: run `perdure setup` again in a minute"
        ) from None


def _indexed_type(name: str) -> IndexedValueType.ValueType:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{words.upper()}")
