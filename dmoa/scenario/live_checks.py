"""What must hold between the keys of ``[live]``: who is where, and who is who."""

from __future__ import annotations

from dmoa.errors import ScenarioError
from dmoa.scenario.addresses import parse_address
from dmoa.scenario.live_schema import Live

KEY_CHARACTERS = 40
_Z85 = frozenset(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)


def check_live(live: Live) -> None:
    """Refuse peers that cannot be reached or told apart.

    Raises:
        ScenarioError: With the path of the key to change.
    """
    if live.max_tokens >= live.context_tokens:
        raise ScenarioError(
            f"leaves no room for a prompt in live.context_tokens, {live.context_tokens}",
            path="live.max_tokens",
            given=live.max_tokens,
            remedy="give less, for example 256",
        )
    seen: dict[str, str] = {}
    for name, peer in live.peers.items():
        path = f"live.peers.{name}"
        parse_address(peer.address, scheme="tcp", path=f"{path}.address")
        if peer.gateway is not None:
            parse_address(peer.gateway, scheme="http", path=f"{path}.gateway")
        if len(peer.public_key) != KEY_CHARACTERS or not _Z85.issuperset(peer.public_key):
            raise ScenarioError(
                f"must be a public key, {KEY_CHARACTERS} characters of Z85",
                path=f"{path}.public_key",
                given=peer.public_key,
                remedy="`dmoa keys show FILE` prints the one of a secret key file",
            )
        for key in ("address", "public_key", "gateway"):
            value = getattr(peer, key)
            other = seen.setdefault(value, path) if value is not None else path
            if other != path:
                raise ScenarioError(
                    f"is that of {other} too",
                    path=f"{path}.{key}",
                    given=value,
                    remedy="give each node its own",
                )
