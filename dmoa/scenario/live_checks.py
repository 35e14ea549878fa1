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
        others = peer.other_public_keys or []
        for key, value in (
            ("public_key", peer.public_key),
            *((f"other_public_keys[{place}]", other) for place, other in enumerate(others)),
        ):
            _check_key(value, f"{path}.{key}")
            _check_own(seen, value, path, key)
        _check_own(seen, peer.address, path, "address")
        _check_own(seen, peer.gateway, path, "gateway")


def _check_key(key: str, path: str) -> None:
    if len(key) != KEY_CHARACTERS or not _Z85.issuperset(key):
        raise ScenarioError(
            f"must be a public key, {KEY_CHARACTERS} characters of Z85",
            path=path,
            given=key,
            remedy="`dmoa keys show FILE` prints the one of a secret key file",
        )


def _check_own(seen: dict[str, str], value: str | None, path: str, key: str) -> None:
    """Refuse a value that another peer has too, or this one in another place."""
    if value is None:
        return
    if value in seen:
        raise ScenarioError(
            f"is {seen[value]} too",
            path=f"{path}.{key}",
            given=value,
            remedy="give each node its own",
        )
    seen[value] = f"{path}.{key}"
