"""The filters that authorisation handlers return, held against metadata.

Side: server. Pure functions. A filter is `{"owner": "ann"}`, `{"owner": {"$eq": "ann"}}`, `{"team": {"$contains": "a"}}` (all of
a list), several of them (all must fit), or `{"$or": [...]}` and `{"$and": [...]}` of two or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from perdure.contract import names
from perdure.server.errors import failed

__all__ = ["Filter", "check_filter", "matches", "quoted", "visibility"]

Filter = Mapping[str, Any]
_DEEPEST = 2


def check_filter(given: Any, depth: int = 0) -> None:
    """Raises ValueError for what is no filter; nothing of it is ever ignored."""
    if depth > _DEEPEST:
        raise ValueError(f"operators are nested more than {_DEEPEST} deep")
    if not isinstance(given, dict):
        raise ValueError(f"a filter is a dict, not {type(given).__name__}")
    for key, value in cast("dict[Any, Any]", given).items():
        if key in ("$or", "$and"):
            groups = cast("list[Any]", value) if isinstance(value, list) else []
            if len(groups) < 2:
                raise ValueError(f"{key} needs a list of two filters or more")
            for group in groups:
                check_filter(group, depth + 1)
        elif not isinstance(key, str) or key.startswith("$"):
            raise ValueError(f"{key!r} is no field")
        elif isinstance(value, dict) and list(cast("dict[Any, Any]", value)) not in (["$eq"], ["$contains"]):
            raise ValueError(f"field {key!r}: an operator is one of '$eq', '$contains'")


def matches(metadata: Mapping[str, Any], given: Filter) -> bool:
    """Whether all of a checked filter fits."""
    return all(_fits(metadata, key, value) for key, value in given.items())


def _fits(metadata: Mapping[str, Any], key: str, value: Any) -> bool:
    if key == "$or":
        return any(matches(metadata, group) for group in value)
    if key == "$and":
        return all(matches(metadata, group) for group in value)
    if key not in metadata:
        return False
    found = metadata[key]
    if not isinstance(value, dict):
        return _same(found, value)
    operator, wanted = next(iter(cast("dict[str, Any]", value).items()))
    if operator == "$eq":
        return _same(found, wanted)
    members = cast("list[Any]", found) if isinstance(found, list) else []
    every = cast("list[Any]", wanted) if isinstance(wanted, list) else [wanted]
    return isinstance(found, list) and all(any(_same(member, one) for member in members) for one in every)


def _same(found: Any, wanted: Any) -> bool:
    """Equal, and not as 1 is equal to True."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


def visibility(given: Filter) -> list[str]:
    """What of a filter Temporal's visibility can tell, in its language. More may fit it than fits the filter, never less."""
    found = [_term(key, value) for key, value in given.items()]
    return [term for term in found if term]


def _term(key: str, value: Any) -> str:
    if key == "$and":
        return " AND ".join(term for group in value for term in visibility(group))
    if key == "$or":
        groups = [" AND ".join(visibility(group)) for group in value]
        return "(" + " OR ".join(f"({group})" for group in groups) + ")" if all(groups) else ""
    wanted = cast("dict[str, Any]", value).get("$eq") if isinstance(value, dict) else value
    return "".join(
        f"{names.SEARCH_METADATA} = {quoted(term)}" for term in names.metadata_terms({key: wanted})
    )


def quoted(text: str) -> str:
    """A text in Temporal's list filters. Raises HTTPException 422 for one with a NUL, which Temporal does not take."""
    if "\0" in text:
        raise failed(422, f"{text!r}: a text to search for has no NUL")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
