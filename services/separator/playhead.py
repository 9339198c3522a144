"""When those who listen to a track while it is made will want its next audio.

A listener is taken to play what was sent to it at once and in real time. When it has played all, it
has *run dry*: it hears nothing until more comes, and goes on from there. So it runs dry at

    dry_at ← max(now, dry_at) + seconds of audio sent        (at each piece that is sent)

and what is not sent yet is due then, or later by the audio that lies before it. Times are seconds
of one clock that never goes back; positions are frames of the track.
"""

from __future__ import annotations

import math
from collections.abc import Collection

HEAD_START_SECONDS = 30.0
"""Who has heard nothing yet counts as somebody who has been without sound for so long."""


class Playhead:
    """One listener.

    Args:
        sample_rate_hz: Frames of a second.
        start_frame: The first frame that it will be sent.
        asked_at: When it came.
    """

    def __init__(self, sample_rate_hz: int, start_frame: int, asked_at: float) -> None:
        self._rate_hz = sample_rate_hz
        self._sent = start_frame
        self._asked_at = asked_at
        self._dry_at: float | None = None

    def send(self, until_frame: int, now: float) -> None:
        """Takes note that the listener has been sent all before `until_frame`."""
        if until_frame > self._sent:
            self._dry_at = self._due_after(until_frame, now)
            self._sent = until_frame

    def due(self, frame: int, now: float) -> float:
        """Returns when the listener wants frame `frame` and what follows.

        Before its first audio that is in the past, the further the earlier it came. What it skips
        (`start_frame`) is due as though it played it.
        """
        if frame > self._sent:
            return self._due_after(frame, now)
        if self._dry_at is None:
            return self._asked_at - HEAD_START_SECONDS + frame / self._rate_hz
        return self._dry_at

    def silence(self, frame: int, now: float) -> float | None:
        """Returns for how many seconds the listener has waited for frame `frame`, 0 if in time.

        Who has not taken yet what lies before it does not wait. None before the first audio.
        """
        if self._dry_at is None:
            return None
        return max(0.0, now - self._dry_at) if self._sent >= frame else 0.0

    def _due_after(self, frame: int, now: float) -> float:
        begins = now if self._dry_at is None else max(now, self._dry_at)
        return begins + (frame - self._sent) / self._rate_hz


class Audience:
    """All who listen to one track; there may be none."""

    def __init__(self) -> None:
        self._playheads: set[Playhead] = set()

    def __bool__(self) -> bool:
        return bool(self._playheads)

    def join(self, playhead: Playhead) -> None:
        """Adds a listener, who must `leave`."""
        self._playheads.add(playhead)

    def leave(self, playhead: Playhead) -> None:
        """Takes a listener away."""
        self._playheads.remove(playhead)

    def due(self, frame: int, now: float) -> float:
        """Returns when the first of them wants frame `frame`; infinity where nobody listens."""
        return min((playhead.due(frame, now) for playhead in self._playheads), default=math.inf)

    def silences(self, frame: int, now: float) -> Collection[float]:
        """Returns how long each has waited for frame `frame`, of those that have some audio."""
        told = (playhead.silence(frame, now) for playhead in self._playheads)
        return [seconds for seconds in told if seconds is not None]
