"""The agent's side of the three services: async clients over httpx.

Every call that changes something takes `key`, which travels as `Idempotency-Key`: the same key and the same arguments
have their effect once, however often they are sent. `..._by_key` tells what a key has done, or None if nothing.

Errors are httpx's own: `HTTPStatusError` for an answer that is no success (402 and 422 refuse; 409 means that the key's
first request is still under way; 503 that the service is down), `TransportError` when none came, `DecodingError` when
it is not readable. After the last two the effect is in doubt: send the same call again, or ask by key.
"""

import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from purchase.contract import Charge, Refund, Reservation, Shipment, Stock

__all__ = ["Inventory", "Payments", "Shipping", "Shop", "connect"]

_URLS = {
    "PURCHASE_INVENTORY_URL": "http://127.0.0.1:8031",
    "PURCHASE_PAYMENTS_URL": "http://127.0.0.1:8032",
    "PURCHASE_SHIPPING_URL": "http://127.0.0.1:8033",
}


class Inventory:
    """Sets goods aside."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def reserve(self, sku: str, quantity: int, *, key: str) -> Reservation:
        body = {"sku": sku, "quantity": quantity}
        return Reservation(**await _post(self._http, f"{self._url}/reserve", body, key=key))

    async def release(self, reservation: str, *, key: str) -> None:
        """Put reserved goods back."""
        await _post(self._http, f"{self._url}/release", {"reservation": reservation}, key=key)

    async def reservation_by_key(self, key: str) -> Reservation | None:
        found = await _by_key(self._http, self._url, key)
        return Reservation(**found) if found is not None else None

    async def stock(self, sku: str) -> Stock:
        return Stock(**_content(await self._http.get(f"{self._url}/stock/{quote(sku, safe='')}")))


class Payments:
    """Takes money and gives it back."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def charge(self, card: str, amount: int, currency: str, *, reservation: str, key: str) -> Charge:
        """Take `amount`, in minor units, for what `reservation` names."""
        body = {"card": card, "amount": amount, "currency": currency, "reservation": reservation}
        return Charge(**await _post(self._http, f"{self._url}/charge", body, key=key))

    async def refund(self, charge: str, *, key: str, amount: int | None = None) -> Refund:
        """Give back `amount`, or all that is left of the charge."""
        body = {"charge": charge} if amount is None else {"charge": charge, "amount": amount}
        return Refund(**await _post(self._http, f"{self._url}/refund", body, key=key))

    async def charge_by_key(self, key: str) -> Charge | None:
        found = await _by_key(self._http, self._url, key)
        return Charge(**found) if found is not None else None

    async def refund_by_key(self, key: str) -> Refund | None:
        found = await _by_key(self._http, self._url, key)
        return Refund(**found) if found is not None else None


class Shipping:
    """Sends goods."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def ship(self, reservation: str, address: str, *, key: str) -> Shipment:
        """Send what is reserved; the reservation is used up."""
        body = {"reservation": reservation, "address": address}
        return Shipment(**await _post(self._http, f"{self._url}/ship", body, key=key))

    async def cancel(self, shipment: str, *, key: str) -> None:
        """Call the goods back; they are reserved again."""
        await _post(self._http, f"{self._url}/cancel", {"shipment": shipment}, key=key)

    async def shipment_by_key(self, key: str) -> Shipment | None:
        found = await _by_key(self._http, self._url, key)
        return Shipment(**found) if found is not None else None


@dataclass(frozen=True)
class Shop:
    """The three services of a purchase."""

    inventory: Inventory
    payments: Payments
    shipping: Shipping


@asynccontextmanager
async def connect(
    environ: Mapping[str, str] | None = None, *, timeout: timedelta | None = None
) -> AsyncGenerator[Shop]:
    """Clients for the services that `environ` (default: the process's own) names.

    The defaults fit `python -m purchase.services --inventory-port 8031 --payments-port 8032 --shipping-port 8033`.

    Args:
        timeout: for one answer; default: `PURCHASE_TIMEOUT_SECONDS`, else 5 seconds.
    """
    env = os.environ if environ is None else environ
    seconds = float(env.get("PURCHASE_TIMEOUT_SECONDS") or 5) if timeout is None else timeout.total_seconds()
    inventory, payments, shipping = [(env.get(name) or url).rstrip("/") for name, url in _URLS.items()]
    # No proxy from the environment: the services are next door.
    async with httpx.AsyncClient(verify=_tls(), timeout=seconds, trust_env=False) as http:
        yield Shop(Inventory(http, inventory), Payments(http, payments), Shipping(http, shipping))


@cache
def _tls() -> ssl.SSLContext:
    """The default, made once: reading the certificates takes longer than a whole purchase."""
    return httpx.create_ssl_context(trust_env=False)


async def _post(http: httpx.AsyncClient, url: str, body: Mapping[str, Any], *, key: str) -> dict[str, Any]:
    return _content(await http.post(url, json=body, headers={"Idempotency-Key": key}))


async def _by_key(http: httpx.AsyncClient, url: str, key: str) -> dict[str, Any] | None:
    response = await http.get(f"{url}/by-key/{quote(key, safe='')}")
    return None if response.status_code == httpx.codes.NOT_FOUND else _content(response)


def _content(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        # httpx's own error, with the service's reason in place of a link to the status' meaning.
        said = f"{response.request.url} answered {response.status_code}: {response.text[:300]}"
        raise httpx.HTTPStatusError(said, request=response.request, response=response)
    try:
        content = response.json()
    except ValueError as error:
        raise httpx.DecodingError(
            f"{response.request.url} answered {response.status_code} with what is no JSON: {response.text[:80]!r}",
            request=response.request,
        ) from error
    return content
