"""Work that keeps its order, in the threads of a pool that several such lanes share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Lane(Generic[_T]):
    """Does one piece of work after another, each in any thread of the pool.

    No thread waits for the piece before: lanes that have something to do take turns.

    Args:
        pool: The threads; None: whoever submits does the work at once.
    """

    def __init__(self, pool: Executor | None) -> None:
        self._pool = pool
        self._last: Future[_T] = Future()
        self._last.set_result(None)  # type: ignore[arg-type]  # nobody asks for it

    def submit(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Appends a piece of work. Only one thread at a time may do so."""
        pool = self._pool
        done: Future[_T] = Future()
        if pool is None:
            done.set_result(function(*args, **kwargs))
            return done

        def pass_on(work: Future[_T]) -> None:
            error = work.exception()
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(work.result())

        def begin(_: Future[_T]) -> None:
            pool.submit(function, *args, **kwargs).add_done_callback(pass_on)

        self._last.add_done_callback(begin)
        self._last = done
        return done
