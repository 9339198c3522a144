"""Tells when this process can separate: once the default model is loaded and has computed."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from services.separator import metrics
from services.separator.backends.backend import DeadDeviceError, DeviceMemoryError, ways
from services.separator.backends.parity import parity_probe
from services.separator.engines import Engine, Engines
from services.separator.errors import (
    DeviceLostError,
    OutOfDeviceMemoryError,
    SeparatorError,
)
from services.separator.worker_thread import in_thread, side_by_side

_log = structlog.get_logger("mixdown.separator.readiness")

LONGEST_PAUSE_SECONDS = 60.0


class Readiness:
    """Gets the default model ready, however often it takes.

    Args:
        engines: Loads it. Its backend has passed the parity check then.
        model: Its name.
        pause_seconds: Pause after the first failure; it doubles with each, up to a minute.
    """

    def __init__(self, engines: Engines, model: str, pause_seconds: float = 2.0) -> None:
        self._engines = engines
        self._model = model
        self._pause_seconds = pause_seconds

    async def wait(self) -> None:
        """Returns once the model is loaded and each of its networks has computed a segment.

        Raises:
            DeviceLostError: the device computes nothing any more.
        """
        began = time.monotonic()
        metrics.READY.set(0)
        pause_seconds = self._pause_seconds
        while True:
            try:
                async with self._engines.use(self._model) as engine:
                    await in_thread(_warm_up, engine)
                break
            except DeviceLostError:
                raise  # trying again helps in another process only
            except SeparatorError as error:
                _log.warning(
                    "not ready",
                    model=self._model,
                    reason=error.reason,
                    why=error.message,
                    again_in_seconds=pause_seconds,
                )
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        metrics.READY.set(1)
        _log.info("ready", model=self._model, seconds=round(time.monotonic() - began, 2))


def _warm_up(engine: Engine) -> None:
    """Runs each network in each way: an earlier process may have passed the parity check.

    And in each lane: the first segment there takes half as long again.
    """
    lanes = engine.backend.lanes
    try:
        with ThreadPoolExecutor(lanes) as threads:
            for member in range(len(engine.model.members)):
                probe = parity_probe(engine.model, member)
                for undivided in ways(engine.backend):
                    run = partial(engine.backend.run, member, probe, undivided=undivided)
                    side_by_side(threads, [run] if undivided else lanes * [run])
    except DeviceMemoryError as error:
        raise OutOfDeviceMemoryError(
            "This model does not fit into the device's memory.",
            metadata={"model": engine.model.name},
        ) from error
    except DeadDeviceError as error:
        raise DeviceLostError from error
