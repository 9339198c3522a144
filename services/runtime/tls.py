"""Mutual TLS between services: whoever calls shows a certificate, and whoever answers.

Both believe one authority. The same certificate stands for a service when it is called and when it
calls. The files are read again when they have changed: by servers at the next connection, by
callers at the next call (`RenewedChannel`).
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import structlog

_log = structlog.get_logger("mixdown.tls")


@dataclass(frozen=True)
class TlsFiles:
    """The files, in PEM.

    Args:
        certificate: Our certificate, followed by those between it and the authority.
        key: Its private key.
        authority: Certificates of the authority whose certificates we believe.
    """

    certificate: Path
    key: Path
    authority: Path

    def version(self) -> tuple[int, ...]:
        """Returns what is another once a file has changed. Raises OSError."""
        files = (self.certificate, self.key, self.authority)
        return tuple(file.stat().st_mtime_ns for file in files)

    def check(self) -> None:
        """Raises OSError where the key does not belong to the certificate, or is none."""
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(self.certificate, self.key)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Returns what a caller shows and believes. Raises OSError."""
        return grpc.ssl_channel_credentials(
            self.authority.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )

    def server_credentials(self) -> grpc.ServerCredentials:
        """Returns what a server shows and believes, read anew as it changes. Raises OSError."""
        reader = _Reader(self)
        return grpc.dynamic_ssl_server_credentials(
            reader.read(),
            # None says that nothing is new, which the stubs of grpc do not know.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", reader.read_again),
            require_client_authentication=True,
        )


class _Reader:
    """Reads the files of a server again once one of them has changed."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen: tuple[int, ...] = ()
        self._lock = threading.Lock()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Reads the files. Raises OSError."""
        version = self._files.version()
        self._files.check()
        self._seen = version
        return grpc.ssl_server_certificate_configuration(
            [(self._files.key.read_bytes(), self._files.certificate.read_bytes())],
            self._files.authority.read_bytes(),
        )

    def read_again(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns what is new at a connection, None where nothing is; from a thread of gRPC's."""
        with self._lock:
            try:
                return self.read() if self._files.version() != self._seen else None
            except OSError as error:
                # Half of them may be replaced yet; those in use go on being good.
                _log.warning("certificates_not_read", error=str(error))
                return None
