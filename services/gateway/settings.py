"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import BlobSettings


class GatewaySettings(BlobSettings):
    """Settings of the gateway, read once from the environment."""

    listen: str = Field(
        default="127.0.0.1:50051",
        description="Address to listen on, host:port. Port 0 takes a free one.",
    )
    session_address: str = Field(
        default="127.0.0.1:50052", description="Where the session service listens, host:port."
    )
    interpreter_address: str = Field(
        default="127.0.0.1:50053", description="Where the interpreter listens, host:port."
    )
    remixer_address: str = Field(
        default="127.0.0.1:50054", description="Where the remixer listens, host:port."
    )
    separator_address: str = Field(
        default="127.0.0.1:50055", description="Where the separator listens, host:port."
    )
    development_user: str = Field(
        default="",
        description="Development mode: the user of calls that come without an identity from the "
        "edge. Empty, the default, refuses such calls.",
    )
    upload_limit_bytes: int = Field(
        default=2_000_000_000, ge=1, description="The largest file that may be uploaded."
    )
    track_limit_seconds: float = Field(
        default=3 * 3600.0, gt=0, description="The longest track that may be uploaded."
    )
    minimum_sample_rate_hz: int = Field(
        default=8_000, ge=1, description="The lowest sampling rate of a track."
    )
    maximum_sample_rate_hz: int = Field(
        default=192_000, ge=1, description="The highest sampling rate of a track."
    )
    channel_limit: int = Field(default=2, ge=1, description="The most channels of a track.")
    prompt_limit_characters: int = Field(
        default=4_000, ge=1, description="The longest prompt, after trimming."
    )
    probe_limit_seconds: float = Field(
        default=300.0, gt=0, description="How long the check of one uploaded file may take."
    )
    probe_limit_bytes: int = Field(
        default=1 << 30, ge=1 << 28, description="Address space that the check of a file may use."
    )
    probe_concurrency: int = Field(
        default=2, ge=1, description="Uploaded files that are checked at the same time."
    )
    heartbeat_seconds: float = Field(
        default=10.0, gt=0, description="A stream that is silent for so long sends a heartbeat."
    )
    lease_seconds: float = Field(
        default=30.0,
        ge=5,
        le=300,
        description="How long a turn stays ours without renewal; what dies with a gateway is taken "
        "up again after so long.",
    )
    patience_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long a turn waits for a service that is busy or away before it gives up.",
    )
    takeover_seconds: float = Field(
        default=10.0,
        gt=0,
        description="How often it is looked for turns whose gateway has died, to go on with them.",
    )
    background_turns: int = Field(
        default=4,
        ge=1,
        description="Turns without a listener (of batches, or of gateways that have died) that one "
        "gateway takes up at the same time.",
    )
    direct_download_seconds: float = Field(
        default=0,
        ge=0,
        le=7 * 24 * 3600,
        description="How long links are good that let callers download files from S3 themselves. "
        "0, the default, gives none: callers may not reach the store.",
    )
    clean_seconds: float = Field(
        default=60.0, gt=0, description="How often files that nobody refers to are deleted."
    )
    blob_sweep_seconds: float = Field(
        default=24 * 3600.0,
        gt=0,
        description="How often the whole blob store is walked for files that nobody knows.",
    )
    turn_attempts: int = Field(
        default=10,
        ge=1,
        description="A turn that was begun so often and never ended fails for good.",
    )
