"""Blocking calls beside the event loop, and beside each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from services.separator.worker_thread import side_by_side
from tests.patience import PATIENCE_SECONDS


def test_calls_run_side_by_side_and_their_results_come_in_order() -> None:
    meeting = threading.Barrier(2)

    def meet(value: int) -> int:
        meeting.wait(PATIENCE_SECONDS)
        return value

    with ThreadPoolExecutor(2) as threads:
        assert side_by_side(threads, [partial(meet, value) for value in (1, 2)]) == [1, 2]


def test_all_calls_have_ended_before_one_that_failed_is_told() -> None:
    failed, ended = threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        raise OSError("no space left on the device")

    def end() -> None:
        assert failed.wait(PATIENCE_SECONDS)
        ended.set()

    with ThreadPoolExecutor(2) as threads:
        with pytest.raises(OSError, match="no space left"):
            side_by_side(threads, [fail, end])
        assert ended.is_set()
