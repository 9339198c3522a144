"""Settings that every service has. Each service adds its own in its `settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_data_folder() -> Path:
    """Returns where one machine keeps its data: `~/.local/share/mixdown`."""
    return Path.home() / ".local" / "share" / "mixdown"


class Settings(BaseSettings):
    """Settings of a server process, read once from the environment (`MIXDOWN_LISTEN`, …)."""

    model_config = SettingsConfigDict(env_prefix="MIXDOWN_", frozen=True, extra="ignore")

    listen: str = Field(
        default="127.0.0.1:0",
        description="Address to listen on, host:port. Port 0 takes a free one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe messages to log."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long calls under way may go on after SIGTERM before they are cancelled.",
    )


class BlobSettings(Settings):
    """Settings of a service that reads or writes blobs."""

    blob_store: str = Field(
        default_factory=lambda: str(default_data_folder() / "blobs"),
        description="Where blobs lie: a folder.",
    )
