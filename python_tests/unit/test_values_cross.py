"""What Python packs and hornbeam_msgpack decodes and encodes comes back equal in value and type."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from value_cases import same, values

from hornbeam_worker.values import pack, unpack

pytestmark = pytest.mark.skipif(shutil.which("erl") is None, reason="Erlang is not installed")

MODULE = Path(__file__).parents[2] / "src" / "wire" / "hornbeam_msgpack.erl"
VALUES = 300

# Reads {packet, 4} values from a file, and writes each as Erlang encodes what it decoded.
ECHO = """
    [In, Out] = init:get_plain_arguments(),
    {ok, Bytes} = file:read_file(In),
    Echo = fun(Value) ->
        {ok, Term} = hornbeam_msgpack:decode(Value),
        IoData = hornbeam_msgpack:encode(Term),
        [<<(iolist_size(IoData)):32>>, IoData]
    end,
    ok = file:write_file(Out, [Echo(Value) || <<Size:32, Value:Size/binary>> <= Bytes]),
    halt().
"""


@pytest.fixture(scope="module")
def ebin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ebin")
    subprocess.run(["erlc", "-o", str(folder), str(MODULE)], check=True, timeout=60)
    return folder


def echoed(ebin: Path, folder: Path, sent: list[Any]) -> list[Any]:
    """The values after their way to Erlang and back, all in one run of the BEAM."""
    packed = [pack(value) for value in sent]
    (folder / "in").write_bytes(b"".join(struct.pack("!I", len(data)) + data for data in packed))
    command = ["erl", "-noshell", "-pa", str(ebin), "-eval", ECHO, "-extra"]
    subprocess.run([*command, str(folder / "in"), str(folder / "out")], check=True, timeout=60)
    data = (folder / "out").read_bytes()
    back = []
    while data:
        size = struct.unpack_from("!I", data)[0] + 4
        back.append(unpack(data[4:size]))
        data = data[size:]
    return back


def generated(count: int) -> list[Any]:
    collected: list[Any] = []

    @settings(max_examples=count, phases=[Phase.generate], deadline=None, database=None)
    @given(values)
    def collect(value: Any) -> None:
        collected.append(value)

    collect()
    return collected


def test_generated_values(tmp_path: Path, ebin: Path) -> None:
    sent = generated(VALUES)
    back = echoed(ebin, tmp_path, sent)
    assert len(back) == len(sent) >= VALUES
    assert [(a, b) for a, b in zip(sent, back, strict=True) if not same(a, b)] == []
