"""Customers' messages to try the agent with, one for each way that a request can go."""

from support.contract import SupportInput

__all__ = ["DUPLICATE_CHARGE", "EXPORT_QUESTION", "LEGAL_THREAT", "LOST_PASSWORD"]

DUPLICATE_CHARGE = SupportInput(
    customer_email="ines@harbour-bakery.example",
    message=(
        "Hi, I looked at our bank statement this morning and Corkline charged our card twice on the 3rd, "
        "€ 112.00 each time. We only have one workspace with 14 people. "
        "Can you please refund the second payment? The card ends in 4471."
    ),
)

LOST_PASSWORD = SupportInput(
    customer_email="t.okafor@northside-school.example",
    message=(
        "I can't log in any more. I asked for a password reset three times but the link says it does not work. "
        "I need to get at the timetable board before Monday!"
    ),
)

LEGAL_THREAT = SupportInput(
    customer_email="office@vogt-partners.example",
    message=(
        "This is the fourth time I write about the boards you deleted. If I do not hear from a person by Friday, "
        "my lawyer will take this to court."
    ),
)

EXPORT_QUESTION = SupportInput(
    customer_email="mika@trailmaps.example",
    message=(
        "Is there a way to get a whole board out as CSV? When I open the file in Excel, all our Finnish letters "
        "look wrong."
    ),
)
