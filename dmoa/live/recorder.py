"""The trace of a live node: entries as the simulator's, in a file that can be read as it grows."""

from __future__ import annotations

import logging

from dmoa.errors import ScenarioError
from dmoa.trace.codec import Entry, TraceWriter

_LOG = logging.getLogger(__name__)

ENTRIES_MAX = 512
"""Entries that wait to be written together."""


class Recorder:
    """Writes a node's steps, until the file has ``bytes_max`` bytes or cannot be written.

    A trace is a measurement, not a promise: what goes wrong with it is said once, and the node
    goes on without.
    """

    def __init__(self, writer: TraceWriter, bytes_max: int) -> None:
        self._writer: TraceWriter | None = writer
        self._bytes_max = bytes_max
        self._entries: list[Entry] = []

    def record(self, entry: Entry) -> None:
        """Take a step."""
        if self._writer is not None:
            self._entries.append(entry)
            if len(self._entries) >= ENTRIES_MAX:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        entries, self._entries = self._entries, []
        if self._writer is None or not entries:
            return
        try:
            self._writer.extend(entries)
        except ScenarioError as error:
            self._give_up(str(error))
        else:
            if self._writer.written_bytes >= self._bytes_max:
                self._give_up(f"it has {self._writer.written_bytes} bytes, as many as it may have")

    def close(self) -> None:
        """Write what waits and finish the file."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _give_up(self, why: str) -> None:
        _LOG.warning("the trace ends here: %s", why)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
