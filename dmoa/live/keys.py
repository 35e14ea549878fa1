"""Key pairs of nodes (CURVE, that is Curve25519), and the files that hold them.

Keys are written in Z85: 40 printable characters. A secret key lives in one file that its owner
alone can read; it is never printed, and no error quotes it.
"""

from __future__ import annotations

import os
import stat
import struct
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from dmoa.errors import ScenarioError

KEY_CHARACTERS = 40
KEY_BYTES = 32
FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A node's public key, which is its identity, and the secret one that proves it.

    >>> keys = make_keys()
    >>> keys.secret in repr(keys)
    False
    """

    public: str
    secret: str = field(repr=False)


def make_keys() -> KeyPair:
    """Make a new key pair.

    >>> len(make_keys().public)
    40
    """
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def is_key(text: object) -> bool:
    """Tell whether a text is a key in Z85.

    >>> is_key("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"), is_key("my key")
    (True, False)
    """
    if not (isinstance(text, str) and text.isascii() and len(text) == KEY_CHARACTERS):
        return False
    try:
        return len(z85.decode(text.encode())) == KEY_BYTES
    except (KeyError, struct.error):
        return False  # a character that is not of Z85, or five that are more than 32 bits


def write_secret(path: Path, keys: KeyPair) -> None:
    """Write a key pair into a new file that its owner alone can read.

    Raises:
        ScenarioError: The file exists, or cannot be written.
    """
    text = (
        "# The secret key of a node: whoever holds this file can speak as that node.\n"
        "# Leave it where it is, readable by its owner alone (chmod 600).\n"
        f'public_key = "{keys.public}"\n'
        f'secret_key = "{keys.secret}"\n'
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise ScenarioError(
            "a key file exists already and is never overwritten",
            path=str(path),
            remedy="move it away first; the peers of the node then need its new public key",
        ) from None
    except OSError as error:
        raise ScenarioError(
            f"the key file cannot be written: {error.strerror}",
            path=str(path),
            remedy="choose a folder that exists and can be written to",
        ) from None


def read_secret(path: Path) -> KeyPair:
    """Read a key pair from its file.

    Raises:
        ScenarioError: The file is missing, can be read by others than its owner, or holds no key
            pair. No error quotes what it holds.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(FILE_BYTES_MAX)
    except FileNotFoundError:
        raise ScenarioError(
            "the secret key file is missing",
            path=str(path),
            remedy="`dmoa keys` makes a new key pair; its public key goes into cluster.toml",
        ) from None
    except OSError as error:
        raise ScenarioError(
            f"the secret key file cannot be read: {error.strerror}",
            path=str(path),
            remedy="it has to be a file that the user who runs the node can read",
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ScenarioError(
            f"the secret key file can be used by others than its owner (mode {mode:04o})",
            path=str(path),
            remedy=f"run: chmod 600 {path}",
        )
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> KeyPair:
    """Take the pair out of the file's content, saying nothing of it if that fails."""
    try:
        table = tomllib.loads(content.decode())
    except ValueError:  # of TOML or of UTF-8
        table = {}
    public, secret = table.get("public_key"), table.get("secret_key")
    if not (isinstance(public, str) and isinstance(secret, str) and is_key(secret)):
        raise ScenarioError(
            'this is no key file: it holds public_key = "..." and secret_key = "...", '
            f"both of {KEY_CHARACTERS} characters",
            path=str(path),
            remedy="bring it back from a copy, or make a new one with `dmoa keys`",
        )
    if zmq.curve_public(secret.encode()).decode() != public:
        raise ScenarioError(
            "the public key of this file does not belong to its secret key",
            path=str(path),
            remedy="bring it back from a copy, or make a new one with `dmoa keys`",
        )
    return KeyPair(public, secret)
