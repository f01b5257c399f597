"""Which search attributes a namespace has. Side: client."""

from __future__ import annotations

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

__all__ = ["search_attributes"]


async def search_attributes(client: Client) -> frozenset[str]:
    """Those that were registered; none where the server does not tell."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        answer = await client.operator_service.list_search_attributes(request)
    except RPCError:
        return frozenset()
    return frozenset(answer.custom_attributes)
