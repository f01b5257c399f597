"""A run within the limits of its client. Side: client."""

from __future__ import annotations

from dataclasses import replace

from perdure.contract.limits import RunLimits, seconds_of
from perdure.contract.thread import RunRequest

__all__ = ["limited"]


def limited(request: RunRequest, limits: RunLimits) -> RunRequest:
    """The run within the limits of a client (`RunLimits.overridden` has filled in what nobody says)."""
    return replace(
        request,
        budget=limits.budget,
        expires_in=seconds_of(limits.deadline),
        approval_timeout=seconds_of(limits.approval_timeout),
    )
