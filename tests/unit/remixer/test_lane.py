"""A lane does one thing after another, whatever else the threads do."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from services.remixer.lane import Lane


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_pieces_of_work_keep_their_order_and_never_overlap(threads):
    pool = ThreadPoolExecutor(threads) if threads else None
    lanes = [Lane(pool) for _ in range(4)]
    done: list[list[int]] = [[] for _ in lanes]
    busy = [threading.Lock() for _ in lanes]

    def work(lane: int, number: int) -> int:
        assert busy[lane].acquire(blocking=False), "two pieces of a lane at once"
        time.sleep(0.0005)
        done[lane].append(number)
        busy[lane].release()
        return number

    futures = [lanes[k % 4].submit(work, k % 4, k) for k in range(80)]
    wait(futures)
    assert [future.result() for future in futures] == list(range(80))
    assert done == [list(range(lane, 80, 4)) for lane in range(4)]
    if pool is not None:
        pool.shutdown()


def test_an_error_reaches_whoever_asks_and_the_lane_goes_on():
    with ThreadPoolExecutor(1) as pool:
        lane: Lane[float] = Lane(pool)
        failed = lane.submit(lambda: 1 / 0)
        after = lane.submit(lambda: 2.0)
        with pytest.raises(ZeroDivisionError):
            failed.result()
        assert after.result() == 2.0
