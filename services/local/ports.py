"""Free ports for servers that are started a moment later.

Asking the system for port 0 gives one of its ephemeral range (from 32768 on Linux), out of which it
also takes the near end of every outgoing connection: a port that was free when it was chosen may be
gone when the server comes to listen. These ports lie below that range.
"""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 25_000, 32_700

_given: set[int] = set()
_chance = random.SystemRandom()


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a port of `host` that nobody listens on and that was not returned before.

    Raises:
        OSError: there is none left.
    """
    candidates = [port for port in range(_FIRST, _LAST) if port not in _given]
    _chance.shuffle(candidates)
    for port in candidates:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError(f"no free port between {_FIRST} and {_LAST}")
