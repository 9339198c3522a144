"""Answers the session service's contract; each resource has a file of its own calls."""

from __future__ import annotations

from services.session.deletion_calls import DeletionCalls
from services.session.lease_calls import LeaseCalls
from services.session.session_calls import SessionCalls
from services.session.track_calls import TrackCalls
from services.session.turn_calls import TurnCalls


class SessionService(TrackCalls, SessionCalls, TurnCalls, LeaseCalls, DeletionCalls):
    """Answers `mixdown.session.v1.SessionService`."""
