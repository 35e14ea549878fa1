"""A cluster whose nodes are played, behind real gateways, for the commands that talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.conftest import OpenDoor, Opens, opening
from tests.gateway.fake_door import FakeDoor

#: Where nothing listens: an own port for each node.
NOBODY = {name: f"http://127.0.0.1:{port}" for port, name in enumerate("012", 1)}


class PlayedCluster:
    """Nodes 0, 1 and 2 on a ring, in the folder ``dmoa-cluster``."""

    def __init__(self, folder: Path, opens: Opens) -> None:
        self.file, self._opens = folder / "dmoa-cluster" / "cluster.toml", opens
        self.places: dict[str, OpenDoor] = {}
        self.urls = dict(NOBODY)
        self.file.parent.mkdir()
        self._write()

    def start(self, *names: str, **how: Any) -> None:
        """Start some of the nodes; the others stay unreachable."""
        for name in names:
            self.places[name] = self._opens(FakeDoor(name), **how)
            self.urls[name] = self.places[name].url
        self._write()

    def door(self, name: str) -> FakeDoor:
        return self.places[name].door

    def _write(self) -> None:
        lines = ['[overlay]\ntopology = "ring"\nnodes = 3', "[plan]\nlayers = 1\nproposers = 2"]
        for index, (name, url) in enumerate(self.urls.items()):
            address = f"tcp://127.0.0.1:{7401 + index}"
            lines.append(
                f'[live.peers.{name}]\naddress = "{address}"\n'
                f'public_key = "{name * 40}"\ngateway = "{url}"'
            )
        self.file.write_text("\n".join(lines), encoding="utf-8")


@contextmanager
def playing(folder: Path) -> Iterator[PlayedCluster]:
    """Give a cluster of which no node runs yet."""
    with opening() as opens:
        yield PlayedCluster(folder, opens)
