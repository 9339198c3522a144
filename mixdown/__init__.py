"""Mixdown for callers: the contracts, the mix, the client and the `mixdown` command."""

from mixdown.client import Client, connect
from mixdown.errors import (
    DamagedFileError,
    MixdownError,
    NotReachableError,
    TurnCancelledError,
    TurnFailedError,
)
from mixdown.files import File
from mixdown.talking import Session
from mixdown.turns import Turn

__all__ = [
    "Client",
    "DamagedFileError",
    "File",
    "MixdownError",
    "NotReachableError",
    "Session",
    "Turn",
    "TurnCancelledError",
    "TurnFailedError",
    "connect",
]
