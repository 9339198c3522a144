"""Files that were rendered: made, kept, found again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass

from services.remixer.events import OutputAudio, OutputFinished
from services.remixer.plan import PlannedOutput
from services.remixer.provenance import tagged
from services.remixer.resample import Resampler
from services.runtime.audio.loudness import Loudness, LoudnessMeter
from services.runtime.audio.reader import Samples
from services.runtime.audio.writer import AudioWriter
from services.runtime.blobs import Blob, BlobStore

CHUNK_BYTES = 512 * 1024
"""The most audio bytes in one message."""


@dataclass(frozen=True)
class Artifact:
    """A file that was rendered.

    Args:
        sha256: Its name in the blob store.
        size_bytes: Its size.
        clipped_samples: Samples that its format could not hold.
        peak: Highest absolute sample before encoding.
        loudness: How loud it is, before encoding.
        limited_db: By how much its highest peak was lowered to hold the ceiling.
        notes: What had to be changed on the way, for people.
        weights_sha256: The weights that made the stems in it; "" where there are none.
    """

    sha256: str
    size_bytes: int
    clipped_samples: int
    peak: float
    loudness: Loudness
    limited_db: float
    notes: tuple[str, ...]
    weights_sha256: str = ""

    @property
    def blob(self) -> Blob:
        """The file in the blob store."""
        return Blob(self.sha256, self.size_bytes)

    def finished(self, name: str, original_loudness: Loudness, *, cached: bool) -> OutputFinished:
        """Returns the event that tells of this file."""
        return OutputFinished(
            name,
            self.blob,
            self.clipped_samples,
            self.peak,
            self.loudness,
            original_loudness,
            self.limited_db,
            cached,
        )


def find_artifact(
    store: BlobStore, planned: PlannedOutput, weights_sha256: str = ""
) -> Artifact | None:
    """Returns the file that was rendered before, where it is still in the store.

    Args:
        store: The store.
        planned: The file.
        weights_sha256: The weights of the model as they are now; "" where nobody knows them yet. A
            file whose stems other weights made is not what would be rendered now.
    """
    document = store.read_record(planned.key)
    if document is None:
        return None
    values = json.loads(document)
    artifact = Artifact(
        **{
            **values,
            "loudness": Loudness(**values["loudness"]),
            "notes": tuple(values["notes"]),
        }
    )
    if planned.model and weights_sha256 and artifact.weights_sha256 != weights_sha256:
        return None
    return artifact if store.find(artifact.sha256) == artifact.blob else None


def read_chunks(
    store: BlobStore, name: str, artifact: Artifact, offset_bytes: int
) -> Generator[OutputAudio, None, None]:
    """Yields the bytes of a file from `offset_bytes` on."""
    with store.open(artifact.sha256) as file:
        file.seek(offset_bytes)
        while data := file.read(CHUNK_BYTES):
            yield OutputAudio(name, offset_bytes, data)
            offset_bytes += len(data)


class ArtifactWriter:
    """Encodes one output, stores it and hands out its bytes.

    Args:
        store: Where the file goes.
        planned: What the file is.
        original_rate_hz: Rate of the samples that come.
        tags: Tags of the original.
        skip_bytes: Bytes at the beginning that are stored, but not handed out.

    Raises:
        UnsupportedFormatError: the encoder refuses the format.
    """

    def __init__(
        self,
        store: BlobStore,
        planned: PlannedOutput,
        original_rate_hz: int,
        tags: Mapping[str, str],
        skip_bytes: int,
    ) -> None:
        self._store = store
        self._planned = planned
        self._skip_bytes = skip_bytes
        self._written_bytes = 0
        self._resampler = Resampler(
            original_rate_hz, planned.sample_rate_hz, planned.channels, planned.file_frames
        )
        self._meter = LoudnessMeter(original_rate_hz, planned.channels)
        self._writer = AudioWriter(
            planned.file_format,
            planned.sample_rate_hz,
            planned.channels,
            planned.file_frames,
            tagged(tags, planned.done),
            dither_seed=zlib.crc32(planned.output.name.encode()),
        )
        self._blob_writer = store.create()

    @property
    def size_bytes(self) -> int:
        """Size of the file; 0 where it is not known before the end."""
        return self._writer.size_bytes

    def write(self, block: Samples) -> list[OutputAudio]:
        """Encodes a block and returns the bytes that are ready."""
        self._meter.add(block)
        return self._keep(self._writer.write(self._resampler.process(block)))

    def finish(self) -> list[OutputAudio]:
        """Encodes what is left and returns the last bytes."""
        return self._keep(self._writer.write(self._resampler.finish()) + self._writer.finish())

    def commit(
        self, limited_db: float, notes: tuple[str, ...], weights_sha256: str = ""
    ) -> Artifact:
        """Makes the file and its record visible."""
        blob = self._blob_writer.commit()
        artifact = Artifact(
            blob.sha256,
            blob.size_bytes,
            self._writer.clipped_samples,
            self._writer.peak,
            self._meter.result(),
            limited_db,
            notes,
            weights_sha256 if self._planned.model else "",
        )
        document = json.dumps(asdict(artifact), sort_keys=True)
        self._store.write_record(self._planned.key, document.encode())
        return artifact

    def close(self) -> None:
        """Frees the encoder and removes a file that was not committed."""
        self._writer.close()
        self._blob_writer.discard()

    def _keep(self, data: bytes) -> list[OutputAudio]:
        self._blob_writer.write(data)
        chunks = []
        # A caller that comes back has the beginning already.
        start = min(max(0, self._skip_bytes - self._written_bytes), len(data))
        for first in range(start, len(data), CHUNK_BYTES):
            part = data[first : first + CHUNK_BYTES]
            chunks.append(OutputAudio(self._planned.output.name, self._written_bytes + first, part))
        self._written_bytes += len(data)
        return chunks
