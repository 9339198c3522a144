"""Writes what comes, checks it, and shows it under its name only once it is whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import DamagedFileError


@dataclass(frozen=True)
class File:
    """A file that a turn made.

    Args:
        name: Name of the output: "mix", "vocals", "without-vocals".
        path: Where it lies; None where it was not fetched.
        artifact: What Mixdown says of it: identifier, size, SHA-256.
    """

    name: str
    path: Path | None
    artifact: conversation_pb2.Artifact


class FolderWriter:
    """Writes the outputs of a turn into a folder, under their names once they are whole.

    As a context manager it removes what did not become whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._makes_folder = False
        self._open: dict[str, PartialFile] = {}
        self.files: list[File] = []

    def add(self, event: conversation_pb2.TurnEvent) -> None:
        """Writes what an event brings.

        Raises:
            DamagedFileError: a checksum is wrong, or bytes belong to no output that was begun.
        """
        match event.WhichOneof("event"):
            case "output_started":
                self._start(event.output_started)
            case "audio":
                self._begun(event.audio.name).write(event.audio.data)
            case "output_finished":
                self._finish(event.output_finished.artifact)

    def _start(self, started: conversation_pb2.OutputStarted) -> None:
        path = self._folder / (
            _file_name(started.file_name) or _file_name(started.name) or "output"
        )
        if started.name in self._open:
            self._open.pop(started.name).discard()
        self._makes_folder = self._makes_folder or not self._folder.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open[started.name] = PartialFile(path)

    def _begun(self, name: str) -> PartialFile:
        if name not in self._open:
            raise DamagedFileError(name)
        return self._open[name]

    def _finish(self, artifact: conversation_pb2.Artifact) -> None:
        file = self._begun(artifact.name)
        del self._open[artifact.name]
        with file:
            path = file.keep(artifact.blob.sha256)
        self.files.append(File(artifact.name, path, artifact))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._open.values():
            file.discard()
        if self._makes_folder and not any(self._folder.iterdir()):
            self._folder.rmdir()


def _file_name(name: str) -> str:
    """Returns what of a name from afar may name a file: its last part, as far as it can be read."""
    last = "".join(character for character in Path(name).name if character.isprintable())
    return "" if last in {".", ".."} else last


class PartialFile:
    """A file on its way to the disk. As a context manager it removes what was not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.part")
        self._file: BinaryIO = self._partial.open("wb")
        self._hash = hashlib.sha256()

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def write(self, data: bytes) -> None:
        """Appends bytes."""
        self._file.write(data)
        self._hash.update(data)

    def keep(self, sha256: str) -> Path:
        """Shows the file under its name and returns its path.

        Raises:
            DamagedFileError: its bytes have another SHA-256.
        """
        self._file.close()
        if self._hash.hexdigest() != sha256:
            raise DamagedFileError(self._path.name)
        return self._partial.replace(self._path)

    def discard(self) -> None:
        """Removes what was not kept."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()
