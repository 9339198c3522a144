"""The blob store in memory."""

from __future__ import annotations

import pytest

from services.runtime.blobs.memory import MemoryBlobStore
from tests.unit.runtime.blobs.store_behaviour import BlobStoreBehaviour, OpenStore


class TestMemoryBlobStore(BlobStoreBehaviour):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        store = MemoryBlobStore()
        return lambda: store
