"""Settings that every service has. Each service adds its own in its `settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.tls import TlsFiles


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
    metrics_listen: str = Field(
        default="",
        description="Address, host:port, that serves metrics for Prometheus over HTTP at "
        "`/metrics`, to whoever asks. Port 0 takes a free one. Empty, the default, serves none.",
    )
    drain_notice_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long after SIGTERM new calls are still taken while the health check "
        "already says NOT_SERVING, so that who balances sends them elsewhere in time.",
    )
    otlp_endpoint: str = Field(
        default="",
        description="URL of a collector that takes traces by OTLP over gRPC, "
        "`http://collector:4317`. Empty means what `OTEL_EXPORTER_OTLP_ENDPOINT` says; without "
        "either nothing is traced. OpenTelemetry's other variables hold too, such as "
        "`OTEL_TRACES_SAMPLER` and `OTEL_EXPORTER_OTLP_HEADERS`.",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The part of the traces that is kept, by trace id: the same in every service. "
        "A caller can decline to be traced, but not ask for more. `OTEL_TRACES_SAMPLER` counts "
        "more.",
    )
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long calls under way may go on after SIGTERM before they are cancelled.",
    )
    tls_certificate_file: str = Field(
        default="",
        description="Our certificate for TLS between services, a PEM file; its key and the "
        "authority belong to it. Empty, the default: services talk in the clear. A server reads "
        "changed files at the next connection, a caller at the next call.",
    )
    tls_key_file: str = Field(
        default="", description="The private key of our certificate, a PEM file."
    )
    tls_ca_file: str = Field(
        default="",
        description="The authority whose certificates services must show each other, a PEM file.",
    )

    @model_validator(mode="after")
    def _all_or_none_of_tls(self) -> Self:
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if any(files) and not all(files):
            raise ValueError("TLS needs a certificate, its key and an authority, or none of them")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """The files of TLS between services; None where they talk in the clear."""
        if not self.tls_certificate_file:
            return None
        return TlsFiles(
            Path(self.tls_certificate_file), Path(self.tls_key_file), Path(self.tls_ca_file)
        )


class S3Settings(BaseSettings):
    """How to speak to S3. Credentials come as AWS's own tools find them (AWS_ACCESS_KEY_ID, …)."""

    model_config = SettingsConfigDict(env_prefix="MIXDOWN_", frozen=True, extra="ignore")

    s3_endpoint: str = Field(
        default="",
        description="URL of a server that speaks S3 (SeaweedFS, MinIO). Empty means AWS.",
    )
    s3_public_endpoint: str = Field(
        default="",
        description="URL under which callers reach the same server, for links that are given to "
        "them. Empty means the endpoint above.",
    )
    s3_region: str = Field(
        default="", description="Region of the bucket. Empty means what `AWS_REGION` says."
    )
    s3_virtual_hosts: bool = Field(
        default=False, description="Whether an own endpoint takes the bucket as a host name."
    )
    s3_encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = Field(
        default="", description="Encryption at rest by the server. Empty: the bucket's default."
    )
    s3_kms_key: str = Field(default="", description="Key for encryption by aws:kms.")
    s3_timeout_seconds: float = Field(
        default=60.0, gt=0, description="How long one request to S3 may take."
    )
    s3_retry_seconds: float = Field(
        default=60.0, ge=0, description="How long a request that failed is made again."
    )


class BlobSettings(Settings, S3Settings):
    """Settings of a service that reads or writes blobs."""

    blob_store: str = Field(
        default_factory=lambda: str(default_data_folder() / "blobs"),
        description="Where blobs lie: a folder, or s3://BUCKET/PREFIX.",
    )
