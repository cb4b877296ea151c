"""The fake node itself: other tests and the demonstration are worth no more than it is true to the contract."""

from __future__ import annotations

import io
import json
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fixtures import Authority
from tests.fakes.sesam_node import FakeNode
from tests.support.ports import free_port
from tests.support.runner import wait_until

PIPE = {"_id": "customers", "type": "pipe", "source": {"type": "dataset", "dataset": "raw"}}
SYSTEM = {"_id": "crm", "type": "system:url"}
METADATA = {"_id": "node", "type": "metadata"}


def ask(
    node: FakeNode | str,
    method: str,
    path: str,
    body: bytes | Any = None,
    jwt: str = "good-token",
    scheme: str = "bearer",
    context: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, bytes, dict[str, str]]:
    """By Python's own means: nothing of the panel's."""
    url = node if isinstance(node, str) else node.url
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url + path, data, {"Authorization": f"{scheme} {jwt}"} | given, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def zipped(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return buffer.getvalue()


def test_zip_there_and_back(fake_node: FakeNode) -> None:
    data = zipped(
        {
            "pipes/customers.conf.json": PIPE,
            "systems/crm.conf.json": SYSTEM,
            "node-metadata.conf.json": METADATA,
            "README.md": b"hello",
        }
    )
    assert ask(fake_node, "PUT", "/config?force=false", data, Content_Type="application/zip")[0] == 200
    status, body, _ = ask(fake_node, "GET", "/config", Accept="application/zip")
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert set(held) == {
        "pipes/customers.conf.json",
        "systems/crm.conf.json",
        "node-metadata.conf.json",
        "unknown/README.md",
    }
    assert json.loads(held["pipes/customers.conf.json"]) == PIPE
    assert sorted(one["_id"] for one in json.loads(ask(fake_node, "GET", "/config")[1])) == ["crm", "customers", "node"]


def test_multipart_and_list_replace_all(fake_node: FakeNode) -> None:
    fake_node.put(SYSTEM)
    data = zipped({"pipes/customers.conf.json": PIPE})
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="c.zip"\r\n'
    form += b"Content-Type: application/zip\r\n\r\n" + data + b"\r\n--x--\r\n"
    assert ask(fake_node, "PUT", "/config", form, Content_Type="multipart/form-data; boundary=x")[0] == 200
    assert fake_node.entities == {"customers": PIPE}
    assert ask(fake_node, "PUT", "/config", [SYSTEM])[0] == 200
    assert fake_node.entities == {"crm": SYSTEM}


@pytest.mark.parametrize(
    ("posted", "words"),
    [
        ([{"_id": "a"}], "The type is missing."),
        ([{"_id": "a", "type": "pipe"}], "A pipe needs a source."),
        ([{"type": "system"}], "The _id is missing."),
        ([{"_id": "a", "type": "thing"}], "Unknown type: 'thing'."),
        ([SYSTEM, SYSTEM], "There are two entities with this _id."),
        (["text"], "An entity must be an object."),
        ([{**SYSTEM, "colour": 1}], "Unknown property: 'colour'."),
    ],
)
def test_refused_with_nothing_changed(fake_node: FakeNode, posted: list[Any], words: str) -> None:
    fake_node.put(PIPE)
    fake_node.store.refuse_unknown_properties = True
    status, body, _ = ask(fake_node, "PUT", "/config", [PIPE, *posted])
    assert status == 400
    told = json.loads(body)["validation_errors"]
    assert [error["msg"] for one in told for error in one["config-errors"]] == [words]
    assert set(told[0]["config-errors"][0]) == {"level", "msg", "elements"}
    assert told[0]["posted-config"] == posted[-1]
    assert fake_node.entities == {"customers": PIPE}


@pytest.mark.parametrize(
    ("kind", "body"), [("application/zip", b"no zip"), ("application/json", b"{"), ("application/json", b"{}")]
)
def test_not_understood(fake_node: FakeNode, kind: str, body: bytes) -> None:
    assert ask(fake_node, "PUT", "/config", body, Content_Type=kind)[0] == 400


def test_groups(fake_node: FakeNode) -> None:
    fake_node.put(PIPE, METADATA)
    assert ask(fake_node, "PUT", "/config/mine", [SYSTEM])[0] == 200
    assert json.loads(ask(fake_node, "GET", "/config/mine")[1]) == [{**SYSTEM, "metadata": {"$config-group": "mine"}}]
    for wrong in ([METADATA], [PIPE], [{**SYSTEM, "metadata": {"$config-group": "other"}}]):
        assert ask(fake_node, "PUT", "/config/mine", wrong)[0] == 400
    assert ask(fake_node, "PUT", "/config/mine", [])[0] == 200
    assert set(fake_node.entities) == {"customers", "node"}


def test_etags(fake_node: FakeNode) -> None:
    fake_node.put(PIPE)
    tag = ask(fake_node, "GET", "/config", Accept="application/zip")[2]["ETag"]
    status, body, _ = ask(fake_node, "GET", "/config", Accept="application/zip", If_None_Match=tag)
    assert (status, body) == (304, b"")
    fake_node.put(SYSTEM)
    assert ask(fake_node, "GET", "/config", Accept="application/zip", If_None_Match=tag)[0] == 200
    fake_node.etags = False
    assert "ETag" not in ask(fake_node, "GET", "/config", Accept="application/zip")[2]


def test_variables(fake_node: FakeNode) -> None:
    ask(fake_node, "PUT", "/env", {"a": 1})
    ask(fake_node, "POST", "/env", {"b": [2]})
    assert json.loads(ask(fake_node, "GET", "/env")[1]) == {"a": 1, "b": [2]}
    ask(fake_node, "PUT", "/env", {"c": None})
    assert fake_node.variables == {"c": None}
    assert ask(fake_node, "PUT", "/env", [])[0] == 400


def test_secrets_of_node_and_system(fake_node: FakeNode) -> None:
    fake_node.put(SYSTEM)
    for path in ("/secrets", "/systems/crm/secrets"):
        ask(fake_node, "PUT", path, {"a/b": "1"})
        ask(fake_node, "POST", path, {"c": "2"})
        status, body, _ = ask(fake_node, "GET", path)
        assert (status, json.loads(body)) == (200, ["a/b", "c"])
        assert ask(fake_node, "DELETE", f"{path}/a%2Fb")[0] == 200
        assert ask(fake_node, "DELETE", f"{path}/a%2Fb")[0] == 404
    assert fake_node.secrets == {"c": "2"}
    assert fake_node.store.system_secrets == {"crm": {"c": "2"}}
    assert ask(fake_node, "GET", "/systems/absent/secrets")[0] == 404


def test_what_runs(fake_node: FakeNode) -> None:
    fake_node.deploying = 60
    ask(fake_node, "PUT", "/config", [PIPE, SYSTEM])
    assert json.loads(ask(fake_node, "GET", "/pipes")[1])[0]["runtime"]["state"] == "Deploying"
    fake_node.deploying = 0.01
    wait_until(lambda: json.loads(ask(fake_node, "GET", "/pipes/customers")[1])["runtime"]["state"] == "Running")
    fake_node.deploying = 60
    fake_node.store.changed_at["customers"] -= 60
    ask(fake_node, "PUT", "/config", [PIPE])  # not changed
    assert json.loads(ask(fake_node, "GET", "/pipes/customers")[1])["runtime"]["state"] == "Running"
    assert ask(fake_node, "GET", "/pipes/absent")[0] == 404


@pytest.mark.parametrize("path", ["", "/", "/health", "/license", "/status"])
def test_status_calls(fake_node: FakeNode, path: str) -> None:
    status, body, _ = ask(fake_node, "GET", path)
    assert status == 200
    assert isinstance(json.loads(body), dict)


def test_tokens(fake_node: FakeNode) -> None:
    assert ask(fake_node, "GET", "/env", jwt="other")[0] == 401
    assert ask(fake_node, "GET", "/env", scheme="basic")[0] == 401
    assert ask(fake_node, "GET", "/env", scheme="BeArEr")[0] == 200
    assert ask(fake_node, "GET", "/env", jwt="reading-token")[0] == 200
    assert ask(fake_node, "PUT", "/env", {"a": 1}, jwt="reading-token")[0] == 403
    assert ask(fake_node, "DELETE", "/secrets/a", jwt="reading-token")[0] == 403
    assert fake_node.variables == {}
    assert ask(f"{fake_node.address}/other", "GET", "")[0] == 404


def test_tls(fake_node_tls: FakeNode, authority: Authority) -> None:
    context = ssl.create_default_context(cadata=authority.bundle)
    assert ask(fake_node_tls, "GET", "/env", context=context)[0] == 200


def test_faults_are_counted(fake_node: FakeNode) -> None:
    fake_node.faults.add("GET", "/api/env", "status:500", after=1, times=2)
    assert [ask(fake_node, "GET", "/env")[0] for _ in range(5)] == [200, 500, 500, 200, 200]
    assert ask(fake_node, "GET", "/secrets")[0] == 200
    with pytest.raises(ValueError, match="No such fault"):
        fake_node.faults.add("GET", "*", "explode")


def test_closed_and_opened_again(fake_node: FakeNode) -> None:
    def answers() -> bool:
        with suppress(urllib.error.URLError):
            return ask(fake_node, "GET", "/env")[0] == 200
        return False

    fake_node.close()
    for _ in range(2):
        with pytest.raises(urllib.error.URLError, match="refused"):
            ask(fake_node, "GET", "/env")
    fake_node.open()
    assert answers()
    fake_node.close(seconds=0.1)
    wait_until(answers)


def test_process_keeps_its_state_over_a_kill(tmp_path: Path, authority: Authority) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.fakes.sesam_node", "--port", str(port), "--jwt", "t"]
    command += ["--state", str(tmp_path / "node.json"), "--tls", *authority.pair]
    context = ssl.create_default_context(cadata=authority.bundle)
    url = f"https://127.0.0.1:{port}/api"
    for number, end in ((1, signal.SIGKILL), (2, signal.SIGTERM)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert url in process.stdout.readline()
            assert len(json.loads(ask(url, "GET", "/config", jwt="t", context=context)[1])) == number - 1
            ask(url, "PUT", "/config", [PIPE, SYSTEM][:number], jwt="t", context=context)
            ask(url, "POST", "/env", {str(number): number}, jwt="t", context=context)
            process.send_signal(end)
            assert process.wait(30) == (0 if end == signal.SIGTERM else -end)
    kept = json.loads((tmp_path / "node.json").read_text())
    assert set(kept["entities"]) == {"customers", "crm"}
    assert kept["variables"] == {"1": 1, "2": 2}
