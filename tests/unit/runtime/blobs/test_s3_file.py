"""A file that is fetched by ranges reads like one that is not."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.blobs.s3_file import S3File

_DATA = bytes(range(251)) * 5000


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(0, 400_000)),
            st.tuples(st.just("seek"), st.integers(0, len(_DATA) + 10)),
        ),
        max_size=20,
    )
)
def test_it_reads_what_a_file_in_memory_reads(steps: list[tuple[str, int]]) -> None:
    ours = io.BufferedReader(
        S3File(lambda start, length: _DATA[start : start + length], len(_DATA))
    )
    theirs = io.BytesIO(_DATA)
    for name, number in steps:
        assert getattr(ours, name)(number) == getattr(theirs, name)(number)
        assert ours.tell() == theirs.tell()


def test_reading_on_takes_few_requests() -> None:
    requests: list[int] = []

    def fetch(start: int, length: int) -> bytes:
        requests.append(length)
        return bytes(length)

    file = io.BufferedReader(S3File(fetch, 100 << 20))
    while file.read(1 << 16):
        pass
    assert sum(requests) == 100 << 20
    assert len(requests) < 25
    assert max(requests) == 8 << 20
