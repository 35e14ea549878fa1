"""Addresses of nodes as users write them."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from dmoa.errors import ScenarioError

PORT_MAX = 65535
_PARTS = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[^\]]*\]|[^:/\[\]]*):(?P<port>\d{1,9})/?"
)
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


class Address(NamedTuple):
    """A host, without brackets, and a port."""

    host: str
    port: int


def parse_address(text: str, *, scheme: str, path: str, port_min: int = 1) -> Address:
    """Take an address apart.

    Args:
        text: What the user wrote.
        scheme: ``tcp`` or ``http``; empty for ``HOST:PORT``.
        path: Where, for the error.
        port_min: 0 where the system may choose the port.

    Raises:
        ScenarioError: It is no such address, or its port is out of range.

    >>> parse_address("tcp://[::1]:7401", scheme="tcp", path="listen")
    Address(host='::1', port=7401)
    """
    head = f"{scheme}://" if scheme else ""
    remedy = f"for example {head}127.0.0.1:{8401 if scheme != 'tcp' else 7401}"
    parts = _PARTS.fullmatch(text)
    if parts is None or (parts["scheme"] or "") != scheme or not _is_host(parts["host"]):
        raise ScenarioError(
            f"must be an address {head}HOST:PORT", path=path, given=text, remedy=remedy
        )
    port = int(parts["port"])
    if not port_min <= port <= PORT_MAX:
        raise ScenarioError(
            f"its port must be {port_min} to {PORT_MAX}", path=path, given=text, remedy=remedy
        )
    return Address(parts["host"].strip("[]"), port)


def _is_host(host: str) -> bool:
    if host.startswith("["):
        try:
            return ipaddress.ip_address(host[1:-1]).version == 6
        except ValueError:
            return False
    if re.fullmatch(r"[\d.]+", host):
        try:
            return bool(ipaddress.ip_address(host))
        except ValueError:
            return False
    return len(host) <= 253 and _HOST.fullmatch(host) is not None


def is_http_url(text: str) -> bool:
    """Tell whether a text is the URL of a server.

    >>> is_http_url("https://edge-3:11434/v1"), is_http_url("edge-3:11434")
    (True, False)
    """
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False  # brackets without an address, or a port that is none


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a host that is listened at.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "edge-3")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def written(host: str, port: int, scheme: str = "") -> str:
    """Write an address.

    >>> written("::1", 80, "http"), written("edge-3", 7401)
    ('http://[::1]:80', 'edge-3:7401')
    """
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{bracketed}:{port}" if scheme else f"{bracketed}:{port}"
