"""Certificates for the tests, made with the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Authority:
    """A certificate authority in a folder."""

    folder: Path

    @property
    def cert(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"

    def create(self) -> Authority:
        """Makes it."""
        self.folder.mkdir(exist_ok=True)
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-days", "2", "-subj", "/CN=Test authority", "-keyout", str(self.key),
            "-out", str(self.cert),
        )  # fmt: skip
        return self

    def issue(
        self, name: str, *, subject: str = "", kind: str = "ec", days: int = 2
    ) -> tuple[Path, Path]:
        """A certificate and its key for a host or a client."""
        stem = name.replace("*", "any") + str(len(list(self.folder.iterdir())))
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        request, extensions = self.folder / f"{stem}.csr", self.folder / f"{stem}.ext"
        algorithm = {
            "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
            "rsa": ["rsa:2048"],
            "ed25519": ["ed25519"],
        }[kind]
        # The identifier: Python 3.13 and later check by RFC 5280 to the letter.
        extensions.write_text(
            f"subjectAltName=DNS:{name},IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n"
        )
        _openssl(
            "req", "-newkey", *algorithm, "-nodes", "-subj", subject or f"/CN={name}",
            "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.cert), "-CAkey", str(self.key),
            "-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(cert),
        )  # fmt: skip
        return cert, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
