"""Files as streams of chunks, which shrink where many read."""

import asyncio
import contextlib

from services.gateway.files import CHUNK_BYTES, read_blob
from services.runtime.blobs.memory import MemoryBlobStore

CONTENT = bytes(range(256)) * 8192  # 2 MiB


def stored() -> tuple[MemoryBlobStore, str]:
    blobs = MemoryBlobStore()
    with blobs.create() as writer:
        writer.write(CONTENT)
        return blobs, writer.commit().sha256


async def test_the_chunks_put_together_are_the_file_from_any_offset():
    blobs, sha256 = stored()
    for offset in (0, 1, len(CONTENT) - 1, len(CONTENT)):
        chunks = [data async for data in read_blob(blobs, sha256, offset)]
        assert b"".join(chunks) == CONTENT[offset:]
        assert all(len(data) <= CHUNK_BYTES for data in chunks)


async def test_many_readers_get_smaller_chunks_and_the_last_one_large_ones_again():
    blobs, sha256 = stored()

    async def first_chunk(stack: contextlib.AsyncExitStack) -> int:
        reader = await stack.enter_async_context(contextlib.aclosing(read_blob(blobs, sha256, 0)))
        return len(await anext(reader))

    async with contextlib.AsyncExitStack() as stack:
        sizes = [await first_chunk(stack) for _ in range(200)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == CHUNK_BYTES
        assert 200 * sizes[-1] <= 16 << 20
    alone = [len(data) async for data in read_blob(blobs, sha256, 0)]
    assert alone[0] == CHUNK_BYTES


async def test_readers_at_once_get_whole_files():
    blobs, sha256 = stored()

    async def read() -> bytes:
        return b"".join([data async for data in read_blob(blobs, sha256, 0)])

    assert set(await asyncio.gather(*(read() for _ in range(100)))) == {CONTENT}
