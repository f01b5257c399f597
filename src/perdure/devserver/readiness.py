"""Dev server side: from a server that was just started to one that is ready.

Ready is: it answers gRPC, and its namespace is there with the search attributes that were asked for; those
it lacks are registered here, because the command line's own flag does so in new namespaces only. Ends in
an error, never in an endless wait.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from perdure.devserver.options import ServerOptions, search_attribute_types
from perdure.devserver.process import DevServerError, ServerProcess

_POLL_SECONDS = 0.05
_NOT_YET = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.NOT_FOUND, RPCStatusCode.DEADLINE_EXCEEDED)


async def until_ready(
    process: ServerProcess, address: str, options: ServerOptions, *, timeout: timedelta
) -> str:
    """Wait until the server is ready and return its version.

    Raises:
        DevServerError: it ended, did not get ready in time, or cannot have the search attributes.
    """
    # A task of its own, because a connect can hang: on a port that another program holds, for example.
    probe = asyncio.create_task(_version_when_ready(address, options))
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            while not probe.done() and process.exit_code() is None:
                await asyncio.wait([probe], timeout=_POLL_SECONDS)
    except TimeoutError:
        seconds = timeout.total_seconds()
        raise process.failure(f"did not get ready at {address} within {seconds:g} s") from None
    finally:
        probe.cancel()
    if process.exit_code() is not None:
        raise process.failure("ended before it was ready")
    return probe.result()


async def _version_when_ready(address: str, options: ServerOptions) -> str:
    while True:
        version = await _version_if_ready(address, options)
        if version is not None:
            return version
        await asyncio.sleep(_POLL_SECONDS)


async def _version_if_ready(address: str, options: ServerOptions) -> str | None:
    try:
        client = await Client.connect(address, namespace=options.namespace)
    except RuntimeError:  # nobody listens yet
        return None
    try:
        system = await client.workflow_service.get_system_info(GetSystemInfoRequest())
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=options.namespace)
        )
        missing = _missing(options, listed.custom_attributes)
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=options.namespace, search_attributes=missing)
            )
    except RPCError as error:
        if error.status in _NOT_YET:
            return None
        raise DevServerError(f"Temporal's dev server refuses its set-up: {error.message}") from error
    return None if missing else system.server_version


def _missing(
    options: ServerOptions, registered: Mapping[str, IndexedValueType.ValueType]
) -> dict[str, IndexedValueType.ValueType]:
    types = search_attribute_types()
    names = {number: name for name, number in types.items()}
    for name, kind in options.search_attributes.items():
        other = registered.get(name)
        if other is not None and other != types[kind]:
            raise DevServerError(
                f"Search attribute {name!r} is to be {kind}, but {str(options.database)!r} has it as "
                f"{names[other]}. Fix: use another name, or delete the database and its workflows."
            )
    return {name: types[kind] for name, kind in options.search_attributes.items() if name not in registered}
