"""Every request that the installed SDK can make has a route here, with the method that it uses."""

from __future__ import annotations

import re
from pathlib import Path

import langgraph_sdk

from perdure.server.access_rules import RULES

_CALL = re.compile(
    r"http\.(?:request_)?(get|post|put|patch|delete|stream|reconnect)\(\s*(f?\"/[^\"]*\")", re.S
)
_METHOD = re.compile(r"\"(GET|POST|PUT|PATCH|DELETE)\"")


def asked() -> set[str]:
    """`METHOD /path/{}`, of each call in the SDK's source that names its path there."""
    found: set[str] = set()
    for module in (Path(langgraph_sdk.__file__).parent / "_async").glob("*.py"):
        source = module.read_text()
        for call in _CALL.finditer(source):
            path = re.sub(r"\{[^}]*\}", "{}", call[2].strip('f"')).partition("?")[0]
            found.add(f"{call[1].upper()} {path}")
    return found


def test_each_path_of_the_sdk_is_a_route() -> None:
    routes = {re.sub(r"\{[^}]*\}", "{}", route) for route in RULES}
    paths = asked()
    assert len(paths) > 30
    known = {p for p in paths if not p.startswith(("STREAM", "RECONNECT"))}
    assert known - routes == set()
