"""Settings of the session service."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import Settings, default_data_folder
from services.session.quotas import Quotas


class SessionSettings(Settings):
    """Settings of the session service, read once from the environment."""

    database_url: str = Field(
        default_factory=lambda: f"sqlite:///{default_data_folder() / 'session.db'}",
        description=(
            "The database: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/NAME. "
            "May hold a password, so it is never logged."
        ),
    )
    database_pool_size: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Connections, and calls to the database at once, of this process.",
    )
    slow_statement_seconds: float = Field(
        default=0.5,
        gt=0,
        description="Statements that take longer than this are logged, without their values.",
    )
    migrate_at_start: bool | None = Field(
        default=None,
        description=(
            "Bring the schema up to date before serving. Unset: for SQLite only; "
            "elsewhere run `python -m services.session migrate` at each release."
        ),
    )
    watch_poll_seconds: float = Field(
        default=0.25,
        gt=0,
        description="How soon a watched turn shows what another replica has stored: all that are "
        "watched are looked at together so often.",
    )

    turn_attempts: int = Field(
        default=20,
        ge=1,
        description="A turn that was begun so often and never ended fails for good, whatever "
        "became of those who worked on it.",
    )
    turn_line_limit: int = Field(
        default=8,
        ge=0,
        le=1000,
        description="Turns of one session that may wait for another one at once.",
    )
    user_turn_limit: int = Field(
        default=0,
        ge=0,
        description="Turns of one user that may run or wait at once. 0, the default, is no limit.",
    )
    user_storage_limit_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes that one user may store: tracks, files and uploads on their way, the "
        "same content once. 0, the default, is no limit.",
    )
    user_daily_audio_minutes: float = Field(
        default=0,
        ge=0,
        description="Minutes of audio that one user's turns may render in a day of UTC: the "
        "track's length for each file. 0, the default, is no limit.",
    )
    retention_days: float = Field(
        default=0,
        ge=0,
        description="Sessions and tracks that were not used for so long are deleted with their "
        "files. 0, the default, keeps them for ever.",
    )
    upload_retention_days: float = Field(
        default=7, gt=0, description="Uploads that never became a track are deleted after so long."
    )
    deletion_grace_seconds: float = Field(
        default=3600,
        ge=0,
        description="How long a file stays after nobody refers to it. Longer than the longest "
        "transaction (60 s), or a file may go that somebody is about to refer to.",
    )
    census_seconds: float = Field(
        default=15,
        gt=0,
        description="How often turns that have not ended and files to delete are counted, for "
        "metrics.",
    )
    sweep_seconds: float = Field(
        default=600, gt=0, description="How often it is looked for what is too old."
    )

    @property
    def quotas(self) -> Quotas:
        """What one user may use."""
        return Quotas(
            self.user_turn_limit, self.user_storage_limit_bytes, self.user_daily_audio_minutes
        )

    @property
    def migrates_at_start(self) -> bool:
        """Whether the schema is brought up to date before serving."""
        if self.migrate_at_start is None:
            return self.database_url.startswith("sqlite")
        return self.migrate_at_start
