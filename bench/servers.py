"""The dev server that benchmarks run against."""

from pathlib import Path

from perdure.contract import names
from perdure.devserver import DevServer

__all__ = ["dev_server"]


def dev_server(folder: Path | str) -> DevServer:
    """With its database on disk, in `folder`; to be used in `async with`."""
    return DevServer(
        directory=folder, port=None, ui_port=None, http_port=None, search_attributes=names.SEARCH_ATTRIBUTES
    )
