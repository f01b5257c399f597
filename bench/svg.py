"""What the plots have in common: their font, their colours, their texts."""

from html import escape

__all__ = ["FAINT", "FONT", "INK", "words"]

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
INK, FAINT = "#212529", "#868e96"


def words(
    x: float,
    y: float,
    told: str,
    *,
    anchor: str = "start",
    color: str = INK,
    size: int = 13,
    weight: int = 400,
) -> str:
    """A line of text; `y` is its base line."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}" '
        f'font-weight="{weight}">{escape(told)}</text>'
    )
