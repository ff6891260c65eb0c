"""docs/embedding.md: its project, with this checkout in _checkouts, compiled, started, asked and
stopped. No network: what Hornbeam depends on comes from ERL_LIBS, as for the checkout itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from harness import ROOT, wait_until
from pages import DOCS, blocks

FILES = {
    block.title: block.text for block in blocks((DOCS / "embedding.md").read_text()) if block.title
}
# Starts the shop, says where it is, does what it is told line by line, and ends as SIGTERM would.
MAIN = """
{ok, _} = application:ensure_all_started(shop),
io:format("at ~ts~n", [shop_web:url()]),
Loop = fun(Self) ->
    case io:get_line("") of
        "total\\n" -> io:format("~0tp~n", [shop_web:total([1, 2, 3])]), Self(Self);
        "kill\\n" ->
            exit(whereis(shop_web), kill),
            io:format("killed~n"), Self(Self);
        "break\\n" ->
            {ok, Server} = hornbeam_server_sup:find(shop),
            exit(Server, kill),
            io:format("broken~n"), Self(Self);
        "url\\n" ->
            Url = try shop_web:url() catch _:_ -> none end,
            io:format("~ts~n", [Url]), Self(Self);
        _ -> ok
    end
end,
Loop(Loop),
ok = application:stop(shop),
io:format("~0tp~n", [hornbeam:info(shop)]),
init:stop().
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedding") / "shop"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("127.0.0.1:8000", "127.0.0.1:0"))
    (folder / "_checkouts").mkdir()
    (folder / "_checkouts" / "hornbeam").symlink_to(ROOT)
    done = subprocess.run(
        ["rebar3", "compile"], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # What the set-up has built, or what rebar3 has fetched for the checkout.
    places = (ROOT / ".deps" / "erlang" / "lib", ROOT / "_build" / "default" / "lib")
    found = [
        str(place) for place in places if (place / "ranch").is_dir() or (place / "ra").is_dir()
    ]
    clean = {key: text for key, text in os.environ.items() if not key.startswith("HORNBEAM_")}
    return clean | {"PATH": path, "ERL_LIBS": os.pathsep.join(found)}


def test_the_project_is_whole() -> None:
    assert {"rebar.config", "src/shop_web.erl", "priv/pages/shop_pages.py"} <= set(FILES)


class Shop:
    """The project in a VM of its own."""

    def __init__(self, project: Path) -> None:
        ebins = [str(path) for path in project.glob("_build/default/*/*/ebin")]
        assert len(ebins) >= 2  # the shop, and the checkout compiled for it
        self._vm = subprocess.Popen(
            ["erl", "-noshell", "-pa", *ebins, "-eval", MAIN],
            cwd=project, env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.url = self.read(r"at (http\S+)")

    def say(self, command: str) -> None:
        assert self._vm.stdin
        self._vm.stdin.write(f"{command}\n")
        self._vm.stdin.flush()

    def read(self, pattern: str) -> str:
        """The next line that matches; the log is passed over."""
        assert self._vm.stdout
        seen = []
        for line in self._vm.stdout:
            if found := re.fullmatch(pattern, line.strip()):
                return found.group(found.lastindex or 0)
            seen.append(line)
        raise AssertionError("".join(seen))

    def ask(self, command: str, pattern: str) -> str:
        self.say(command)
        return self.read(pattern)

    def end(self) -> int:
        assert self.ask("end", r"\{error,not_found\}")
        return self._vm.wait(60)

    def kill(self) -> None:
        self._vm.kill()
        self._vm.wait(10)


def test_it_serves_calls_both_ways_and_stops(project: Path) -> None:
    shop = Shop(project)
    try:
        answer = httpx.get(f"{shop.url}/tea")
        assert (answer.status_code, answer.text) == (200, "3\n")
        assert httpx.get(f"{shop.url}/coffee").status_code == 404
        assert shop.ask("total", r"\{ok,.*\}") == "{ok,6}"
        assert shop.end() == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(shop.url)
    finally:
        shop.kill()


@pytest.mark.parametrize(("deed", "done"), [("kill", "killed"), ("break", "broken")])
def test_either_side_comes_back_with_the_other(project: Path, deed: str, done: str) -> None:
    """The process of ours is killed, or the server ends by itself."""
    shop = Shop(project)
    try:
        shop.ask(deed, done)
        url = wait_until(lambda: serving_elsewhere(shop), 30, "it serves again")
        assert httpx.get(f"{url}/tea").text == "3\n"
        assert shop.end() == 0
    finally:
        shop.kill()


def serving_elsewhere(shop: Shop) -> str:
    """The address of the new server: a free port, as the first one's, which is gone."""
    url = shop.ask("url", r"none|http\S+")
    return "" if url in ("none", shop.url) else url


def test_nothing_is_left_in_the_checkout(project: Path) -> None:
    """rebar3 builds a checkout where the project is."""
    assert (project / "_build" / "default" / "checkouts" / "hornbeam" / "ebin").is_dir()
    assert not (ROOT / "ebin").exists()
