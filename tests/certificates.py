"""Authorities and certificates, made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.runtime.tls import TlsFiles

_DAY = datetime.timedelta(days=1)


class Authority:
    """Whoever signs certificates."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> TlsFiles:
        """Writes a certificate for 127.0.0.1 and `name`; one of that name is replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(name)]
        certificate = (
            _builder(_name(name), self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = TlsFiles(self._folder / f"{name}.crt", self._folder / f"{name}.key", self.file)
        _replace(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        _replace(
            files.key,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        return files


def settings_of(files: TlsFiles) -> dict[str, str]:
    """The files as a service is told of them."""
    return {
        "MIXDOWN_TLS_CERTIFICATE_FILE": str(files.certificate),
        "MIXDOWN_TLS_KEY_FILE": str(files.key),
        "MIXDOWN_TLS_CA_FILE": str(files.authority),
    }


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def _replace(path: Path, data: bytes) -> None:
    # As a mounted Secret is replaced: by a move, at once.
    new = path.with_suffix(path.suffix + ".new")
    new.write_bytes(data)
    new.replace(path)
