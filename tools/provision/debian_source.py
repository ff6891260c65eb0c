"""Owns fetching the upstream tarball of a Debian source package, whatever release this machine is.

An apt configuration of its own in a temporary folder; the address of the mirror is the machine's.
apt checks the signature with the machine's Debian keyring, and the checksums. Called by
`libraries`, and by `root`, which makes whole roots from the same mirror.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from provision.machine import SetupError, output, run

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

# The machine's lists, caches and preferences are neither read nor written; its proxies and
# credentials still count. `#clear` drops hooks: they need root or clean up after the machine's apt.
CONFIGURATION = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{work}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""

SOURCES = """Types: deb-src
URIs: {mirror}
Suites: {suite}
Components: main
Signed-By: {keyring}
"""


def fetch(package: str, suite: str, work: Path) -> Path:
    """The upstream tarball of ``package`` in ``suite``, somewhere below the folder ``work``."""
    if shutil.which("apt-get") is None:
        raise SetupError("there is no apt-get to fetch a Debian source package with")
    signer = keyring()
    failure = SetupError("unreachable: there is a mirror")
    for number, mirror in enumerate(mirrors()):
        folder = work / f"mirror-{number}"
        try:
            _configure(folder, SOURCES.format(mirror=mirror, suite=suite, keyring=signer))
            return _fetch(package, folder, f"cannot fetch {suite}'s {package} from {mirror}")
        except SetupError as error:
            failure = failure if number else error
    raise failure


def keyring() -> Path:
    """The machine's keys of Debian's archive."""
    found = next((path for path in KEYRINGS if path.exists()), None)
    if found is None:
        raise SetupError("missing: debian-archive-keyring, to check Debian's signatures with")
    return found


def mirrors() -> list[str]:
    """The repositories of the machine's own apt configuration, Debian's main archive first."""
    argv = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)")
    # A machine that never ran `apt-get update` has no release info, but still names its mirrors.
    text = output(argv) or output((*argv, "--no-release-info"))
    labels = dict(line.partition(" ")[::2] for line in text.splitlines())
    remote = [address for address in labels if not address.startswith("cdrom:")]
    if not remote:
        raise SetupError("this machine's apt configuration names no mirror")
    return sorted(remote, key=lambda address: labels[address] != "Debian")


def _configure(work: Path, sources: str) -> None:
    for part in ("state/lists/partial", "cache/archives/partial", "sources", "download"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    (work / "apt.conf").write_text(CONFIGURATION.format(work=work))
    (work / "sources" / "only.sources").write_text(sources)


def _fetch(package: str, work: Path, failure: str) -> Path:
    get = ("apt-get", "-c", work / "apt.conf")
    run((*get, "update"), log="source-update", failure=failure)
    download = work / "download"
    source = (*get, "source", "--download-only", package)
    run(source, log="source-download", failure=failure, cwd=download)
    tarballs = [path for path in download.glob("*.orig.tar.*") if path.suffix != ".asc"]
    if len(tarballs) != 1:
        raise SetupError(f"{package} has {len(tarballs)} upstream tarballs instead of one")
    return tarballs[0]
