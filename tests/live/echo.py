"""A process with a transport that sends back what it hears, until its standard input ends."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dmoa.core.messages import Message
from dmoa.live.allowlist import PeerAddress
from dmoa.live.keys import KeyPair
from dmoa.live.transport import Transport
from tests.live.wires import QUICK


async def echo() -> None:
    """Read the setting, and echo."""
    setting = json.loads(sys.stdin.readline())

    def send_back(sender: str, message: Message) -> None:
        transport.send(sender, message)

    transport = Transport(
        name=setting["name"],
        keys=KeyPair(setting["public"], setting["secret"]),
        listen=setting["listen"],
        peers={setting["peer"]: PeerAddress(setting["peer_address"], setting["peer_key"])},
        incarnation=setting["incarnation"],
        limits=QUICK,
        now=time.monotonic,
        on_message=send_back,
        on_peer=lambda _peer, _here: None,
    )
    await transport.start()
    await asyncio.to_thread(sys.stdin.read)
    await transport.close()


if __name__ == "__main__":
    asyncio.run(echo())
