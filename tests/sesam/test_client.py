"""The client against a node that behaves: what it asks, and what it makes of the answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from apps.access.errors import InputError
from apps.sesam.address import api_address, token_cleaned
from apps.sesam.client import NodeClient
from apps.sesam.configuration import Entity
from apps.sesam.errors import ConfigurationRefused, NodeForbidden, NodeRefused, NodeUnauthorized, NodeUnreachable
from apps.sesam.patience import Patience
from tests.fakes.fixtures import Authority
from tests.fakes.sesam_node import FakeNode

PIPE = {"_id": "customers", "type": "pipe", "source": {"type": "dataset", "dataset": "raw"}}
SYSTEM = {"_id": "crm", "type": "system:url", "url_pattern": "https://crm.example/%s"}
METADATA = {"_id": "node", "type": "metadata", "namespaces": {}}


def entity(value: dict) -> Entity:
    return Entity(id=value["_id"], value=value)


@pytest.fixture
def client(fake_node: FakeNode) -> Iterator[NodeClient]:
    with NodeClient(url=fake_node.url, jwt=fake_node.jwt) as client:
        yield client


def test_configuration_there_and_back(fake_node: FakeNode, client: NodeClient) -> None:
    client.configuration_put(map(entity, (PIPE, SYSTEM, METADATA)))
    assert fake_node.entities == {"customers": PIPE, "crm": SYSTEM, "node": METADATA}
    found = client.configuration().configuration
    assert {name: one.value for name, one in found.entities.items()} == fake_node.entities
    assert {one.kind for one in found.entities.values()} == {"pipe", "system", "metadata"}
    assert found.variables is None
    assert found.secrets is None


def test_configuration_not_modified(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.put(PIPE)
    first = client.configuration()
    again = client.configuration(etag=first.etag)
    assert again.not_modified
    assert again.etag == first.etag
    fake_node.put(SYSTEM)
    changed = client.configuration(etag=first.etag)
    assert not changed.not_modified
    assert changed.digest != first.digest


def test_digest_same_for_another_zip(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.etags = False  # then each download is packed anew, in another order
    fake_node.put(*({**PIPE, "_id": f"pipe-{number}"} for number in range(30)))
    first, second = client.configuration(etag='"x"'), client.configuration()
    assert first.etag == ""
    assert first.digest == second.digest
    assert len(first.digest) == 64


def test_nothing_is_unpacked_or_parsed_before_it_is_looked_at(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_node.put(PIPE)
    with monkeypatch.context() as patched:
        for name in ("apps.sesam.archive._unpacked", "apps.sesam.archive.json_read"):
            patched.setattr(name, lambda *_: pytest.fail("It was looked into."))
        found = client.configuration()
    assert set(found.configuration.entities) == {"customers"}


def test_unknown_files_are_named(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.put(PIPE)
    fake_node.unknown["notes.txt"] = b"hello"
    found = client.configuration().configuration
    assert found.unknown == ("notes.txt",)
    assert set(found.entities) == {"customers"}


def test_group_only(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.put(PIPE, METADATA)
    mine = {**SYSTEM, "metadata": {"$config-group": "mine"}}
    client.configuration_put([entity(mine)], "mine")
    assert set(fake_node.entities) == {"customers", "node", "crm"}
    assert set(client.configuration("mine").configuration.entities) == {"crm"}
    client.configuration_put([], "mine")
    assert set(fake_node.entities) == {"customers", "node"}
    assert fake_node.requests[0] == ("PUT", "/api/config/mine")


def test_json_instead_of_zip(fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_node.put(PIPE, SYSTEM)
    plain = fake_node._config_get
    monkeypatch.setattr(fake_node, "_config_get", lambda group, headers: plain(group, {}))
    found = client.configuration()
    assert set(found.configuration.entities) == {"customers", "crm"}
    assert found.digest == client.configuration().digest


def test_refused_configuration_changes_nothing(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.put(PIPE)
    fake_node.store.refuse_unknown_properties = True
    bad = [{"_id": "no-source", "type": "pipe"}, {"_id": "no-type"}, {**SYSTEM, "colour": 1}]
    with pytest.raises(ConfigurationRefused, match=r"crm: Unknown property: 'colour'. \(and 2 more\)") as refused:
        client.configuration_put(map(entity, bad))
    assert sorted(refused.value.errors) == [
        ("crm", "error", "Unknown property: 'colour'.", ("colour",)),
        ("no-source", "error", "A pipe needs a source.", ("source",)),
        ("no-type", "error", "The type is missing.", ("type",)),
    ]
    assert fake_node.entities == {"customers": PIPE}
    assert fake_node.requests == [("PUT", "/api/config")]
    assert fake_node.log[0].query == "force=false"


def test_variables(fake_node: FakeNode, client: NodeClient) -> None:
    client.variables_put({"a": 1, "b": {"c": [None, "æ"]}})
    client.variables_put({"b": "only"})
    assert client.variables() == fake_node.variables == {"b": "only"}


def test_secrets(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.secrets = {"old": "1"}
    client.secrets_add({"a/b c": "value", "old": "2"})
    assert client.secrets() == {"a/b c", "old"}
    assert fake_node.secrets["old"] == "2"
    client.secret_delete("a/b c")
    client.secret_delete("a/b c")  # not there: as wanted
    assert fake_node.secrets == {"old": "2"}


def test_status_deploying_reformat(fake_node: FakeNode, client: NodeClient) -> None:
    assert client.status().version == fake_node.version
    fake_node.deploying = 60
    client.configuration_put(map(entity, (PIPE, SYSTEM)))
    assert client.deploying() == ["customers"]
    fake_node.deploying = 0
    assert client.deploying() == []
    assert list(client.reformat({"type": "pipe", "z": 1, "_id": "p"})) == ["_id", "type", "z"]


def test_connection_is_kept_for_reads(fake_node: FakeNode, client: NodeClient) -> None:
    for _ in range(3):
        client.variables()
    assert fake_node.connections == 1


def test_wrong_token(fake_node: FakeNode) -> None:
    with (
        NodeClient(url=fake_node.url, jwt="very-wrong-token") as client,
        pytest.raises(NodeUnauthorized, match=r"127\.0\.0\.1.*401") as refused,
    ):
        client.variables()
    assert "JWT" in refused.value.remedy
    assert "very-wrong-token" not in str(refused.value) + repr(refused.value) + repr(client)
    assert len(fake_node.requests) == 1


def test_reading_token(fake_node: FakeNode) -> None:
    with NodeClient(url=fake_node.url, jwt=fake_node.readonly_jwt) as client:
        assert client.variables() == {}
        with pytest.raises(NodeForbidden, match="sending variables") as refused:
            client.variables_put({"a": 1})
    assert "only read" in refused.value.remedy
    assert fake_node.variables == {}


def test_not_an_api(fake_node: FakeNode) -> None:
    with (
        NodeClient(url=f"{fake_node.address}/elsewhere", jwt=fake_node.jwt) as client,
        pytest.raises(NodeRefused, match="404") as refused,
    ):
        client.variables()
    assert "/api" in refused.value.remedy


def test_tls_with_own_authority(fake_node_tls: FakeNode, authority: Authority) -> None:
    with NodeClient(url=fake_node_tls.url, jwt=fake_node_tls.jwt, ca_bundle=authority.bundle) as client:
        client.variables_put({"a": 1})
        assert client.variables() == {"a": 1}


def test_tls_without_authority_is_refused_at_once(fake_node_tls: FakeNode) -> None:
    with (
        NodeClient(url=fake_node_tls.url, jwt=fake_node_tls.jwt) as client,
        pytest.raises(NodeUnreachable, match="certificate is not accepted") as refused,
    ):
        client.variables()
    assert "CA bundle" in refused.value.remedy
    assert fake_node_tls.connections == 1


def test_tls_not_verified(fake_node_tls: FakeNode) -> None:
    with NodeClient(url=fake_node_tls.url, jwt=fake_node_tls.jwt, verify_tls=False) as client:
        assert client.variables() == {}


def test_tls_name_must_fit(fake_node_tls: FakeNode, authority: Authority) -> None:
    url = fake_node_tls.url.replace("127.0.0.1", "localhost")
    with (
        NodeClient(url=url, jwt=fake_node_tls.jwt, ca_bundle=authority.bundle) as client,
        pytest.raises(NodeUnreachable, match="certificate is not accepted"),
    ):
        client.variables()


def test_tls_to_a_plain_port(fake_node: FakeNode) -> None:
    with (
        NodeClient(url=fake_node.url.replace("http:", "https:"), jwt=fake_node.jwt) as client,
        pytest.raises(NodeUnreachable, match="does it speak TLS"),
    ):
        client.variables()


def test_bad_bundle(fake_node: FakeNode) -> None:
    with pytest.raises(InputError, match="CA bundle"):
        NodeClient(url=fake_node.url, jwt=fake_node.jwt, ca_bundle="-----BEGIN CERTIFICATE-----\nnone\n")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://dev.example", "https://dev.example/api"),
        ("https://dev.example/", "https://dev.example/api"),
        (" https://dev.example:9042/api/ ", "https://dev.example:9042/api"),
        ("http://dev.example/nodes/1", "http://dev.example/nodes/1/api"),
    ],
)
def test_api_address(given: str, address: str) -> None:
    assert api_address(given) == address


@pytest.mark.parametrize(
    "given", ["", "dev.example", "ftp://dev.example", "https://", "https://u:p@dev.example", "https://dev.example/?a=1"]
)
def test_api_address_refused(given: str) -> None:
    with pytest.raises(InputError, match="API URL"):
        api_address(given)


@pytest.mark.parametrize("given", ["ey.J.h", " ey.J.h\n", "bearer ey.J.h", "Bearer  ey.J.h", '"ey.J.h"'])
def test_token_as_people_paste_it(given: str) -> None:
    assert token_cleaned(given) == "ey.J.h"


@pytest.mark.parametrize("given", ["", "  ", "secret\nX: y", "secret æ", "secret two"])
def test_token_refused_without_showing_it(given: str) -> None:
    with pytest.raises(InputError, match="JWT") as refused:
        token_cleaned(given)
    assert "secret" not in str(refused.value)


def test_plain_http_goes_past_proxies(fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would see the token."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    with NodeClient(url=fake_node.url, jwt=fake_node.jwt) as client:
        assert client.variables() == {}


class Proxy:
    """Takes CONNECT, and passes on what it cannot read."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (byte := near.recv(1)):
                    return  # it was given up
                head += byte
            self.asked.append(head)
            host, _, port = head.split()[1].decode().partition(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
                back.start()
                self._pass(near, far)
                back.join()

    @staticmethod
    def _pass(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    proxy = Proxy()
    monkeypatch.setenv("https_proxy", proxy.url)
    yield proxy
    proxy.stop()


def test_https_through_a_proxy(fake_node_tls: FakeNode, authority: Authority, proxy: Proxy) -> None:
    with NodeClient(
        url=fake_node_tls.url, jwt=fake_node_tls.jwt, ca_bundle=authority.bundle, patience=Patience(tries=1)
    ) as client:
        client.variables_put({"a": 1})
        assert client.variables() == {"a": 1}
        fake_node_tls.faults.add("GET", "*", "never")
        client.patience = Patience(total=0.5, tries=1)
        with pytest.raises(NodeUnreachable, match=r"took longer than|was silent for too long"):
            client.variables()
        client.patience = Patience(tries=1)
        fake_node_tls.close()
        with pytest.raises(NodeUnreachable):  # not lost: the proxy did not get through
            client.variables_put({"a": 2})
    assert proxy.asked[0].startswith(b"CONNECT 127.0.0.1")
    assert not any(fake_node_tls.jwt.encode() in one for one in proxy.asked)


def test_no_proxy(fake_node_tls: FakeNode, authority: Authority, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with NodeClient(url=fake_node_tls.url, jwt=fake_node_tls.jwt, ca_bundle=authority.bundle) as client:
        assert client.variables() == {}
    assert proxy.asked == []


def test_netrc_does_not_replace_the_token(
    fake_node: FakeNode, client: NodeClient, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "netrc"  # type: ignore[operator]
    file.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(file))
    assert client.variables() == {}
