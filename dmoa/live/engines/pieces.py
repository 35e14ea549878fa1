"""From the pieces that a model decodes to a text: whole characters, and no stop string."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

from dmoa.errors import EngineError

STOPS_MAX, STOP_CHARACTERS_MAX = 32, 256


class Pieces:
    r"""Joins pieces and passes them on as soon as they are certain to be part of the text.

    A character may be split between tokens, and a stop string between pieces: what could still
    become one is held back.

    >>> heard = []
    >>> pieces = Pieces(["END"], heard.append)
    >>> [pieces.feed(piece) for piece in (b"caf\xc3", b"\xa9 E", b"N", b"Dless")]
    [False, False, False, True]
    >>> heard, pieces.finish()
    (['caf', 'é '], 'café ')
    """

    def __init__(
        self, stops: Sequence[str], on_text: Callable[[str], None], *, skip_space: bool = False
    ) -> None:
        too_long = any(len(stop) > STOP_CHARACTERS_MAX for stop in stops)
        if too_long or len(stops) > STOPS_MAX:
            raise EngineError(
                f"at most {STOPS_MAX} stop strings of at most {STOP_CHARACTERS_MAX} characters "
                f"are possible; give fewer or shorter ones"
            )
        self._stops = [stop for stop in stops if stop]
        self._on_text = on_text
        self._skip_space = skip_space
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._sent: list[str] = []
        self._stopped = False

    def feed(self, piece: bytes) -> bool:
        """Take a piece; say whether a stop string has ended the text."""
        if self._stopped:
            return True
        self._held += self._decoder.decode(piece)
        if self._skip_space:
            self._held = self._held.lstrip()
            self._skip_space = not self._held
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self._stopped = True
            self._send(min(found))
            self._held = ""
        else:
            self._send(len(self._held) - self._doubtful())
        return self._stopped

    def finish(self) -> str:
        """Pass on what was held back, and give the whole text.

        A character whose last bytes never came is left out.
        """
        self._send(len(self._held))
        return "".join(self._sent)

    def _doubtful(self) -> int:
        """Count the last characters that may be the beginning of a stop string."""
        return max(
            (
                length
                for stop in self._stops
                for length in range(1, min(len(stop), len(self._held) + 1))
                if self._held.endswith(stop[:length])
            ),
            default=0,
        )

    def _send(self, length: int) -> None:
        if length:
            text, self._held = self._held[:length], self._held[length:]
            self._sent.append(text)
            self._on_text(text)
