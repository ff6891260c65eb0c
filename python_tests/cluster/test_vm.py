"""The flags that the launcher gives a VM for links, and when."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hornbeam import configuration, vm

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "env",
    [
        {"HORNBEAM_CLUSTER": "local"},
        {"HORNBEAM_ARGUMENT_1": "run", "HORNBEAM_ARGUMENT_2": "--cluster"},
        {"HORNBEAM_ARGUMENT_3": "--cluster=dns:web"},
        {"HORNBEAM_CLUSTER": "local", "HORNBEAM_ERL_FLAGS": "+S 1 -kernel a b"},
    ],
)
def test_where_a_cluster_is_asked_for(env: dict[str, str]) -> None:
    flags = vm.links(env)
    assert flags[:2] == ["-proto_dist", "hornbeam_cluster"]
    assert Path(flags[flags.index("-ssl_dist_optfile") + 1]).is_file()


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"HORNBEAM_CLUSTER": ""},
        {"HORNBEAM_CLUSTER_NODES": "a@b"},
        {"HORNBEAM_ARGUMENT_1": "--cluster-node"},
        {"HORNBEAM_SETTING_1": '{<<"cluster_name"/utf8>>,<<"cluster"/utf8>>}'},
        {"HORNBEAM_CLUSTER": "local", "HORNBEAM_ERL_FLAGS": "-name a@b.c"},
        {"HORNBEAM_CLUSTER": "local", "ERL_FLAGS": "-proto_dist inet6_tls"},
        {"HORNBEAM_CLUSTER": "local", "ERL_ZFLAGS": "+A 4 -sname a"},
    ],
)
def test_where_none_is_or_somebody_has_said_how(env: dict[str, str]) -> None:
    assert vm.links(env) == []


@pytest.mark.parametrize(
    "text", ['cluster = "local"', '[cluster]\ndiscovery = "dns:web"', '[cluster]\nname = "a"']
)
def test_in_a_configuration_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hornbeam.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HORNBEAM_CONFIG", raising=False)
    _, settings = configuration.take(["run"])
    assert vm.links(settings) != []


def test_the_page_the_release_and_the_suite_have_the_same() -> None:
    flags = re.compile(r"-[a-z_]+[\", ]+[a-z_]+(?:[\", ]+false)?")
    wanted = {"-proto_dist hornbeam_cluster", "-epmd_module hornbeam_cluster_epmd"}
    wanted |= {"-start_epmd false", "-kernel prevent_overlapping_partitions false"}
    given = " ".join(vm.LINKS)
    assert all(flag in given for flag in wanted)
    assert "-nocookie" in given
    for name in (
        "docs/clustering.md",
        "config/release.sh",
        "test/hornbeam_cluster_links_SUITE.erl",
    ):
        text = (ROOT / name).read_text()
        found = {re.sub(r"[\", ]+", " ", flag) for flag in flags.findall(text)}
        assert wanted <= found, name
        assert "-nocookie" in text
        assert "-ssl_dist_optfile" in text
