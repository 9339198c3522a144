"""The blob store in a real S3: what every store does, and what only S3 can."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import timedelta

import obstore
import pytest

from services.runtime.blobs import open_blob_store
from services.runtime.blobs.s3 import S3BlobStore
from services.runtime.errors import BlobDamagedError, BlobStoreUnavailableError
from services.runtime.settings import S3Settings
from tests.s3 import BUCKET, S3MissingError, S3Server
from tests.unit.runtime.blobs.store_behaviour import BlobStoreBehaviour, OpenStore, write


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    try:
        started = S3Server().__enter__()
    except S3MissingError as error:
        pytest.skip(f"no S3: {error}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        try:
            yield started
        finally:
            started.__exit__()


@pytest.fixture
def location() -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


class TestS3BlobStore(BlobStoreBehaviour):
    @pytest.fixture
    def open_store(self, server: S3Server, location: str) -> OpenStore:
        return lambda: open_blob_store(location, server.settings)


def test_a_presigned_url_gives_a_blob_to_whoever_has_it(server: S3Server, location: str) -> None:
    store = open_blob_store(location, server.settings)
    blob = write(store, b"for you")
    url = store.presign(blob.sha256, timedelta(minutes=1))
    assert url is not None
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"for you"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url.partition("?")[0])


def test_blobs_are_encrypted_at_rest_where_that_is_said(server: S3Server, location: str) -> None:
    """SeaweedFS knows AES256 with keys of its own; AWS's key service it does not have."""
    settings = server.settings.model_copy(update={"s3_encryption": "AES256"})
    store = S3BlobStore(BUCKET, location.rpartition("/")[2], settings)
    small, large = write(store, b"a secret"), write(store, b"many secrets" * (1 << 20))
    for blob in (small, large):
        url = store.presign(blob.sha256, timedelta(minutes=1))
        assert url is not None
        with urllib.request.urlopen(url) as answer:
            assert answer.headers["x-amz-server-side-encryption"] == "AES256"
        with store.open(blob.sha256) as file:
            assert len(file.read()) == blob.size_bytes
    assert store.append_part("uploads/1", 0, b"part")
    assert list(store.read_parts("uploads/1")) == [b"part"]


def test_damage_is_noticed_by_whoever_reads_all_of_it(server: S3Server, location: str) -> None:
    store = S3BlobStore(BUCKET, location.rpartition("/")[2], server.settings)
    blob = write(store, b"as it was")
    obstore.put(store._store, f"blobs/{blob.sha256[:2]}/{blob.sha256}", b"as it is!")
    with store.open(blob.sha256) as file, pytest.raises(BlobDamagedError):
        file.read()


def test_a_store_that_is_away_says_so(server: S3Server) -> None:
    settings = S3Settings(s3_endpoint="http://127.0.0.1:9", s3_region="x", s3_retry_seconds=0.2)
    store = open_blob_store(f"s3://{BUCKET}", settings)
    with pytest.raises(BlobStoreUnavailableError):
        store.find("a" * 64)
