"""docs/clustering.md: the manifest for Kubernetes is YAML, its parts fit together, and what it sets
are options."""

from __future__ import annotations

import re
from typing import Any

import yaml
from pages import DOCS, blocks

PAGE = (DOCS / "clustering.md").read_text()
OPTIONS = set(re.findall(r"^\| `([a-z_0-9]+)`", (DOCS / "options.md").read_text(), re.M))


def test_the_manifest_fits_together() -> None:
    text = next(block.text for block in blocks(PAGE) if block.title == "cluster.yaml")
    service, pods = yaml.safe_load_all(text)
    assert service["spec"]["clusterIP"] == "None"
    assert pods["spec"]["serviceName"] == service["metadata"]["name"]
    assert pods["spec"]["podManagementPolicy"] == "Parallel"
    labels = pods["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == pods["spec"]["selector"]["matchLabels"]
    container: dict[str, Any] = pods["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    host = f"{service['metadata']['name']}.default.svc.cluster.local"
    port = service["spec"]["ports"][0]
    assert env["HORNBEAM_CLUSTER"] == f"srv:_{port['name']}._tcp.{host}"
    assert env["HORNBEAM_CLUSTER_ADDRESS"] == f"$(POD_NAME).{host}"
    assert env["HORNBEAM_CLUSTER_SIZE"] == str(pods["spec"]["replicas"])
    assert port["port"] == 4370 in {each["containerPort"] for each in container["ports"]}
    options = {name.lower().removeprefix("hornbeam_") for name in env if name != "POD_NAME"}
    assert options <= OPTIONS
