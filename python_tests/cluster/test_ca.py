"""`hornbeam cluster ca`: an authority and certificates, looked at with openssl."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "bin" / "hornbeam"


def cluster_ca(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, "cluster", "ca", *arguments], capture_output=True, text=True, timeout=60
    )


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("authority") / "deeper" / "ca"
    done = cluster_ca(made, "10.0.0.1", "web@node.internal")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        str(made / name) for name in ("ca.pem", "10.0.0.1.pem", "node.internal.pem")
    ]
    return made


def test_openssl_takes_them_for_both_sides_and_their_address(folder: Path) -> None:
    for purpose in ("sslserver", "sslclient"):
        for name, check in (("10.0.0.1", "-verify_ip"), ("node.internal", "-verify_hostname")):
            strict = ("verify", "-x509_strict", "-purpose", purpose, check, name)
            openssl(*strict, "-CAfile", folder / "ca.pem", folder / f"{name}.pem")
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-CAfile", folder / "10.0.0.1.pem", folder / "node.internal.pem")


def test_what_they_say(folder: Path) -> None:
    authority = openssl("x509", "-noout", "-text", "-in", folder / "ca.pem")
    node = openssl("x509", "-noout", "-text", "-in", folder / "10.0.0.1.pem")
    assert "CA:TRUE, pathlen:0" in authority
    assert "Certificate Sign, CRL Sign" in authority
    assert "CA:FALSE" in node
    assert "IP Address:10.0.0.1, DNS:10.0.0.1" in node
    for text in (authority, node):
        assert "prime256v1" in text
        assert "ecdsa-with-SHA256" in text
    for file, days in ((folder / "ca.pem", 3600), (folder / "10.0.0.1.pem", 720)):
        openssl("x509", "-noout", "-checkend", str(days * 86400), "-in", file)
    with pytest.raises(subprocess.CalledProcessError):
        seconds = str(731 * 86400)
        openssl("x509", "-noout", "-checkend", seconds, "-in", folder / "10.0.0.1.pem")


def test_keys_are_the_owners_alone_and_fit(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ca", "10.0.0.1", "node.internal"):
        key = folder / f"{name}-key.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        of_certificate = openssl("x509", "-noout", "-pubkey", "-in", folder / f"{name}.pem")
        assert openssl("pkey", "-pubout", "-in", key) == of_certificate


def test_another_run_adds_and_changes_nothing(folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.iterdir()}
    done = cluster_ca(folder, "10.0.0.1", "10.0.0.9")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{folder / 'ca.pem'} was there already",
        f"{folder / '10.0.0.1.pem'} was there already",
        str(folder / "10.0.0.9.pem"),
    ]
    assert {file: file.read_bytes() for file in before} == before
    openssl("verify", "-CAfile", folder / "ca.pem", folder / "10.0.0.9.pem")
    serials = [
        openssl("x509", "-noout", "-serial", "-in", folder / f"{name}.pem")
        for name in ("ca", "10.0.0.1", "10.0.0.9", "node.internal")
    ]
    assert len(set(serials)) == len(serials)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ((), 2, "cluster ca needs a folder"),
        (("{folder}", "--days=9"), 2, "unknown flag --days=9"),
        (("{folder}", "node"), 1, '"node" is no address of a node'),
        (("{folder}", "::1"), 1, '"::1" is no address of a node'),
        (("/proc/ca", "10.0.0.1"), 1, "/proc/ca: no such file"),
    ],
)
def test_mistakes(folder: Path, arguments: tuple[str, ...], status: int, text: str) -> None:
    done = cluster_ca(*[argument.format(folder=folder) for argument in arguments])
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr


def test_half_of_a_pair_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    for name in ("ca.pem", "ca-key.pem", "10.0.0.1.pem"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = cluster_ca(tmp_path, "10.0.0.1")
    assert done.returncode == 1
    assert re.search("of .*1.pem and .*1-key.pem one is there alone", done.stderr)
    (tmp_path / "ca-key.pem").unlink()
    assert "ca-key.pem is not there" in cluster_ca(tmp_path, "10.0.0.1").stderr
