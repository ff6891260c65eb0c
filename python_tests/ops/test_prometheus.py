"""Prometheus itself: it scrapes a running server; its promtool reads what deploy/ has for it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from harness import ROOT, Hornbeam, wait_until
from prometheus_client.parser import text_string_to_metric_families as text_families

ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana.json"
CONFIGURATION = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: hornbeam
    static_configs: [{{targets: ["{target}"]}}]
"""


def promtool(*arguments: str, text: str = "") -> None:
    done = subprocess.run(
        ["promtool", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def known_metrics() -> set[str]:
    """The names of all samples that a server may have, from its table."""
    table = (ROOT / "src" / "observe" / "hornbeam_metrics.erl").read_text()
    names: set[str] = {"up", "hornbeam_app_metrics_refused_total"}
    for name, kind in re.findall(r'\{<<"(hornbeam_\w+)">>, (counter|gauge|histogram)', table):
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + end for end in ends}
    return names


def expressions() -> list[str]:
    """Of the alerts and of the dashboard, without Grafana's variables."""
    rules: Any = yaml.safe_load(ALERTS.read_text())
    board: Any = json.loads(DASHBOARD.read_text())
    found = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    found += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [note["expr"] for note in board["annotations"]["list"]]
    return [
        text.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
        for text in found
    ]


def test_the_rules_are_rules_of_metrics_that_there_are(tmp_path: Path) -> None:
    promtool("check", "rules", str(ALERTS))
    known = known_metrics()
    for text in expressions():
        used = set(re.findall(r"\bhornbeam_\w+", text))
        assert used <= known, (text, used - known)
    # promtool reads what Grafana would ask, as rules.
    records = [
        {"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    promtool("check", "rules", str(rules))


def test_what_would_alert(tmp_path: Path) -> None:
    """promtool plays figures to the rules."""
    series = [
        ('hornbeam_requests_total{instance="a",status="2xx"}', "0+60x30"),
        ('hornbeam_requests_total{instance="a",status="5xx"}', "0+20x30"),
        ('hornbeam_requests_total{instance="b",status="2xx"}', "0+60x30"),
        ('hornbeam_requests_total{instance="b",status="5xx"}', "0x30"),
        ('hornbeam_worker_restarts_total{instance="a",mount="/"}', "0+1x30"),
        ('hornbeam_workers{instance="b",mount="/",state="ready"}', "2x30"),
        ('hornbeam_workers{instance="a",mount="/",state="ready"}', "0x30"),
        ('hornbeam_workers{instance="a",mount="/",state="backoff"}', "2x30"),
    ]
    alerts = {
        "HornbeamErrors": "a: 25% of the requests fail (5xx)",
        "HornbeamNoWorker": "a: no worker of / serves requests",
        "HornbeamWorkersDie": "a: workers of / die again and again (the log says why)",
        "HornbeamSlow": "",
    }
    tests = [
        {
            "eval_time": "20m",
            "alertname": name,
            "exp_alerts": [
                {
                    "exp_labels": {
                        "severity": "critical" if "No" in name else "warning",
                        "instance": "a",
                        **({} if "Errors" in name else {"mount": "/"}),
                    },
                    "exp_annotations": {"summary": summary},
                }
                for _ in range(bool(summary))
            ],
        }
        for name, summary in alerts.items()
    ]
    played = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "alert_rule_test": tests,
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(played))
    promtool("test", "rules", str(path))


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes this one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(rules=ALERTS, target=target))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60) as client:
                yield client
        finally:
            process.kill()
            process.wait()


def asked(client: httpx.Client, query: str) -> float | None:
    """The value of a query, once it has one."""
    try:
        answer = client.get("/query", params={"query": query}).json()
    except (httpx.HTTPError, json.JSONDecodeError):  # not there yet
        return None
    found = answer.get("data", {}).get("result", [])
    return float(found[0]["value"][1]) if found else None


def test_prometheus_scrapes_a_server(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    with Hornbeam("metrics_app:app", metrics_bind="127.0.0.1:0", control=str(control)) as server:
        base = server.wait_for_output(r"metrics on (http://\S+)").group(1)
        for _ in range(7):
            httpx.get(server.url + "/own?n=3&value=0.5", timeout=60)
        with prometheus(base.removeprefix("http://"), tmp_path) as client:
            for query, value in {
                "up": 1,
                "sum(hornbeam_requests_total)": 7,
                'hornbeam_requests_total{status="2xx"}': 7,
                "sum(hornbeam_route_duration_seconds_count)": 7,
                'shop_orders_total{kind="book"}': 21,
                "shop_sizes_sum": 10.5,
                'hornbeam_worker_events_total{event="ready",mount="/"}': 1,
            }.items():
                wait_until(lambda q=query, v=value: asked(client, q) == v, 60, query)  # type: ignore[misc]
            wrong = client.get("/targets").json()["data"]["activeTargets"][0]["lastError"]
            assert not wrong
        # As the terminal has it; and promtool finds nothing to say of it.
        command = [str(ROOT / "bin" / "hornbeam"), "metrics", "--control", str(control)]
        text = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True
        ).stdout
        names = {family.name for family in text_families(text)}
        assert {"hornbeam_requests", "shop_orders", "hornbeam_route_duration_seconds"} <= names
        promtool("check", "metrics", text=text)
