"""Which URLs may be told how runs end, and with which headers: the section `webhooks` of `langgraph.json`. Side: both.

    "webhooks": {
        "url": {"allowed_domains": ["hooks.example.com", "*.example.org"], "require_https": true, "allowed_ports": [443]},
        "headers": {"Authorization": "Bearer ${{ env.LG_WEBHOOK_TOKEN }}"}
    }

| a URL                                   | is                                                                    |
|-----------------------------------------|-----------------------------------------------------------------------|
| relative, or of another scheme          | refused                                                               |
| of a host that `allowed_domains` names  | taken, also when it is in a private network                           |
| of another host                         | refused, if `allowed_domains` names any; else taken if all its addresses are public |

The address is looked at again when the URL is called: names change.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perdure.errors import ConfigError

__all__ = ["WebhookPolicy", "webhook_policy"]

_VARIABLE = re.compile(r"\$\{\{\s*env\.(\w+)\s*\}\}")
_PORTS = {"http": 80, "https": 443}


class _Urls(BaseModel):
    model_config = ConfigDict(extra="forbid")

    allowed_domains: list[str] = Field(default_factory=list)
    allowed_ports: list[int] | None = None
    require_https: bool = False
    max_url_length: int = 4096
    # Known to LangGraph's server. Here they are always on, but for hosts that are named.
    disable_loopback: bool = True
    disable_private_ips: bool = True


class WebhookPolicy(BaseModel):
    """As in `langgraph.json`."""

    model_config = ConfigDict(extra="forbid")

    url: _Urls = Field(default_factory=_Urls)
    headers: dict[str, str] = Field(default_factory=dict)
    env_prefix: str = "LG_WEBHOOK_"
    allowed_fields: list[str] | None = None
    disabled: bool = Field(default=False, exclude=True)

    def problem(self, url: str) -> str | None:
        """Why a URL is refused, as far as it says so itself; `None` if it is not."""
        rules = self.url
        if self.disabled:
            return "webhooks are switched off (http.disable_webhooks)"
        if len(url) > rules.max_url_length:
            return f"the URL has more than {rules.max_url_length} characters"
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            return f"not a URL: {error}"
        if parts.scheme not in _PORTS or not host:
            return "a whole URL is needed, of http or https"
        if rules.require_https and parts.scheme != "https":
            return "it must be https"
        port = _PORTS[parts.scheme] if port is None else port
        if rules.allowed_ports and port not in rules.allowed_ports:
            return f"port {port} is not allowed"
        if rules.allowed_domains and not self._named(host):
            return f"host {host!r} is not among the allowed_domains"
        return self.address_problem(host, host)

    def address_problem(self, host: str, address: str) -> str | None:
        """Why an address that a host's name leads to is refused."""
        if self._named(host):
            return None
        try:
            public = ipaddress.ip_address(address).is_global
        except ValueError:  # a name
            public = address != "localhost" and not address.endswith(".localhost")
        return (
            None
            if public
            else f"{address} is not public: name the host in webhooks.url.allowed_domains if it may be told"
        )

    def filled_headers(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The headers with their variables. Raises ConfigError for one that is missing, or that may not be used."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if not name.startswith(self.env_prefix):
                raise ConfigError(
                    f"webhooks.headers: {name!r} does not begin with {self.env_prefix!r} (webhooks.env_prefix)"
                )
            if name not in environment:
                raise ConfigError(f"webhooks.headers: the environment variable {name!r} is not set")
            return environment[name]

        return {key: _VARIABLE.sub(value, text) for key, text in self.headers.items()}

    def _named(self, host: str) -> bool:
        host = host.lower()
        return any(
            host.endswith(domain[1:].lower()) if domain.startswith("*.") else host == domain.lower()
            for domain in self.url.allowed_domains
        )


def webhook_policy(section: Any, http: Any = None, *, check_headers: bool = False) -> WebhookPolicy:
    """From the sections `webhooks` and `http`.

    Raises:
        ConfigError: naming the key.
    """
    try:
        policy = WebhookPolicy.model_validate({} if section is None else section)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("webhooks", *first["loc"]))
        raise ConfigError(f"langgraph.json: {where}: {first['msg']}") from error
    policy.disabled = bool(isinstance(http, dict) and http.get("disable_webhooks"))
    if check_headers:
        policy.filled_headers(os.environ)
    return policy
