"""Settings of the remixer."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import BlobSettings


class RemixerSettings(BlobSettings):
    """Settings of the remixer, read from the environment (`MIXDOWN_SEPARATOR_ADDRESS`, …)."""

    listen: str = Field(
        default="127.0.0.1:50054",
        description="Address to listen on, host:port. Port 0 takes a free one.",
    )
    separator_address: str = Field(
        default="127.0.0.1:50055", description="Where the separator listens, host:port."
    )
    chain_threads: int = Field(
        default=0,
        ge=0,
        description="Threads in which the effects of several stems work side by side. "
        "0 takes one for each core that this process may use.",
    )
    max_renders: int = Field(
        default=16,
        ge=1,
        description="Renders that one process works on at once; more are told to try again.",
    )
