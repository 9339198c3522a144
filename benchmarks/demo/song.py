"""The song that the demo talks to."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

_STEMS_IN_FILE = ("drums", "bass", "other", "vocals")
"""Audio streams 1 to 4 of a Native Instruments stem file; stream 0 is the mixture."""


@dataclass(frozen=True)
class Song:
    """A song to talk to.

    Args:
        path: The file; its first audio stream is the song.
        title: What it is called.
        true_stems: Audio stream of the file that holds a stem, by stem; empty where unknown.
    """

    path: Path
    title: str
    true_stems: dict[str, int]


def default_song() -> Song:
    """Returns 6 s of a MUSDB18 song with its true stems (CC BY-NC-SA), as `stempeg` ships it.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    # Found, not imported: importing stempeg needs an ffmpeg program on the PATH.
    spec = importlib.util.find_spec("stempeg")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "data").glob("*.stem.mp4")):
            return Song(
                path, "Falcon 69", {stem: index for index, stem in enumerate(_STEMS_IN_FILE, 1)}
            )
    raise FileNotFoundError("The package stempeg with its example song is not installed.")
