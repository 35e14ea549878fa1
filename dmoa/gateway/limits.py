"""What the door bears: everything has a limit."""

from __future__ import annotations

import msgspec


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the HTTP door of a node.

    ``requests_max`` are served at a time; ``keep_alive_s`` is the longest silence in a stream;
    a client that takes nothing from its stream for ``send_timeout_s`` is let go.
    """

    body_bytes_max: int = 4 << 20
    body_timeout_s: float = 30.0
    requests_max: int = 256
    keep_alive_s: float = 5.0
    send_timeout_s: float = 60.0
    ready_timeout_s: float = 10.0
