"""A watched blob store does what every store does, and tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from services.runtime.blobs import open_blob_store
from services.runtime.errors import BlobDamagedError, BlobNotFoundError
from services.runtime.tracing import span, use_tracer
from tests.metrics import growth
from tests.unit.runtime.blobs.store_behaviour import BlobStoreBehaviour, OpenStore, write


class TestObservedBlobStore(BlobStoreBehaviour):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda: open_blob_store(str(tmp_path))


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer(provider.get_tracer("test"))
    yield exporter
    use_tracer(trace.NoOpTracer())


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = (each for each in spans.get_finished_spans() if each.name == name)
    return found


def test_bytes_and_seconds_are_counted(tmp_path: Path) -> None:
    store = open_blob_store(str(tmp_path))
    data = bytes(300_000)
    written = growth("mixdown_blob_bytes_total", adapter="folder", direction="written")
    read = growth("mixdown_blob_bytes_total", adapter="folder", direction="read")
    commits = growth("mixdown_blob_seconds_count", adapter="folder", operation="commit")
    reads = growth("mixdown_blob_seconds_count", adapter="folder", operation="read")
    blob = write(store, data)
    with store.open(blob.sha256) as file:
        assert file.read() == data
    assert (written(), read(), commits()) == (300_000, 300_000, 1)
    assert reads() >= 1


def test_errors_are_counted_by_their_reason(tmp_path: Path) -> None:
    store = open_blob_store(str(tmp_path))
    missing = growth(
        "mixdown_blob_errors_total", adapter="folder", operation="open", reason="BLOB_NOT_FOUND"
    )
    with pytest.raises(BlobNotFoundError):
        store.open("a" * 64)
    assert missing() == 1
    damaged = growth(
        "mixdown_blob_errors_total", adapter="folder", operation="read", reason="BLOB_DAMAGED"
    )
    blob = write(store, b"as it was")
    (tmp_path / "blobs" / blob.sha256[:2] / blob.sha256).write_bytes(b"as it is!")
    with store.open(blob.sha256) as file, pytest.raises(BlobDamagedError):
        file.read()
    assert damaged() == 1


def test_reading_and_writing_have_a_span_each_below_whoever_does_it(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    store = open_blob_store(str(tmp_path))
    with span("request", root=True) as request:
        blob = write(store, b"some ", b"audio")
        with store.open(blob.sha256) as file:
            file.read(4)
            file.read()
    for name in ("blob write", "blob open", "blob read"):
        found = named(spans, name)
        assert found.parent is not None
        assert found.parent.span_id == request.get_span_context().span_id
        assert found.attributes["mixdown.blob_store"] == "folder"
    assert named(spans, "blob write").attributes["mixdown.bytes"] == 10
    assert named(spans, "blob read").attributes["mixdown.bytes"] == 10


def test_a_write_that_is_given_up_ends_its_span(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    store = open_blob_store(str(tmp_path))
    with span("request", root=True), store.create() as writer:
        writer.write(b"half")
    assert named(spans, "blob write").attributes["mixdown.bytes"] == 4


def test_an_error_marks_its_span(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    store = open_blob_store(str(tmp_path))
    with span("request", root=True), pytest.raises(BlobNotFoundError):
        store.open("a" * 64)
    found = named(spans, "blob open")
    assert found.status.status_code == StatusCode.ERROR
    assert found.status.description == "BLOB_NOT_FOUND"


def test_what_nobody_asked_for_has_no_span(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    write(open_blob_store(str(tmp_path)), b"swept")
    assert spans.get_finished_spans() == ()
