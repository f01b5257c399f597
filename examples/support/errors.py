"""What the tools raise. Owns the one distinction that a retry needs: can trying again help?

The other side's own error is the `__cause__`, so that a retry policy can read more from it, such as Retry-After.
"""

__all__ = ["Refused", "Unavailable"]


class Unavailable(Exception):
    """The other side did not answer, answered nothing of use, or asks to be left alone for now. A retry can help."""


class Refused(ValueError):
    """The other side, or the settings, said no. A retry cannot help, as with any `ValueError`."""
