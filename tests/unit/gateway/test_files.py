"""Files as streams of chunks, which are small where many read, and for those who are slow."""

import asyncio
import contextlib

import pytest

from services.gateway.files import CHUNK_BYTES, Files
from services.runtime.blobs.memory import MemoryBlobStore

CONTENT = bytes(range(256)) * 8192  # 2 MiB


def stored() -> tuple[Files, str]:
    blobs = MemoryBlobStore()
    with blobs.create() as writer:
        writer.write(CONTENT)
        return Files(blobs), writer.commit().sha256


async def test_the_chunks_put_together_are_the_file_from_any_offset():
    files, sha256 = stored()
    for offset in (0, 1, len(CONTENT) - 1, len(CONTENT)):
        chunks = [data async for data in files.read(sha256, offset)]
        assert b"".join(chunks) == CONTENT[offset:]
        assert all(len(data) <= CHUNK_BYTES for data in chunks)


async def test_many_readers_get_smaller_chunks_and_the_last_one_large_ones_again():
    files, sha256 = stored()

    async def first_chunk(stack: contextlib.AsyncExitStack) -> int:
        reader = await stack.enter_async_context(contextlib.aclosing(files.read(sha256, 0)))
        return len(await anext(reader))

    async with contextlib.AsyncExitStack() as stack:
        sizes = [await first_chunk(stack) for _ in range(20)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == CHUNK_BYTES
        assert sizes[-1] < CHUNK_BYTES
    alone = [len(data) async for data in files.read(sha256, 0)]
    assert alone[0] == CHUNK_BYTES


async def test_who_is_slow_gets_small_chunks_until_it_is_quick_again(
    monkeypatch: pytest.MonkeyPatch,
):
    def be_slow_after(seconds: float) -> None:
        monkeypatch.setattr("services.gateway.files._SLOW_SECONDS", seconds)

    files, sha256 = stored()
    async with contextlib.aclosing(files.read(sha256, 0)) as reader:
        first = await anext(reader)
        be_slow_after(0.0)
        second = await anext(reader)
        be_slow_after(3600.0)
        third = await anext(reader)
    assert len(second) < len(first) == len(third)
    assert first + second + third == CONTENT[: len(first + second + third)]


async def test_those_who_are_slow_make_nobody_wait():
    files, sha256 = stored()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            reader = await stack.enter_async_context(contextlib.aclosing(files.read(sha256, 0)))
            await anext(reader)  # and no more
        assert b"".join([data async for data in files.read(sha256, 0)]) == CONTENT


async def test_readers_at_once_get_whole_files():
    files, sha256 = stored()

    async def read() -> bytes:
        return b"".join([data async for data in files.read(sha256, 0)])

    assert set(await asyncio.gather(*(read() for _ in range(100)))) == {CONTENT}
