"""The S3 store is tried: against moto's server, which checks keys and rights here, and against servers that fail."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from django.contrib.auth.models import User
from django.test import Client

from apps.access.actor import Actor, Door
from apps.access.errors import InputError
from apps.access.models import AuditEntry
from apps.files import s3
from apps.files.errors import FileRefused
from apps.files.models import CacheSettings
from apps.files.services import store_try, trial
from apps.files.store_trouble import Right, answer_words
from tests.repos.https_server import certificate

pytestmark = pytest.mark.django_db
OPERATOR = Actor(user=None, door=Door.COMMAND)
SETTINGS = "/admin/files/cachesettings/"
READS = ["s3:ListBucket", "s3:GetObject"]


@pytest.fixture
def bucket(store: str) -> Iterator[Any]:
    owner = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    made = boto3.resource("s3", endpoint_url=store, **owner).Bucket("artefacts")
    made.create()
    yield made
    requests.post(f"{store}/moto-api/reset-auth", data="inf", timeout=10)
    requests.post(f"{store}/moto-api/reset", timeout=10)
    made.meta.client.close()


@pytest.fixture
def user(store: str, bucket: Any) -> Callable[..., dict[str, str]]:
    """Makes a key that may do these things; from then on the store checks keys."""

    def make(*rights: str) -> dict[str, str]:
        owner = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        with closing(boto3.client("iam", endpoint_url=store, **owner)) as iam:
            iam.create_user(UserName="panel")
            allowed = {"Effect": "Allow", "Action": list(rights), "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
            iam.put_user_policy(UserName="panel", PolicyName="panel", PolicyDocument=policy)
            key = iam.create_access_key(UserName="panel")["AccessKey"]
        requests.post(f"{store}/moto-api/reset-auth", data="0", timeout=10)
        return {"s3_access_key": key["AccessKeyId"], "s3_secret_key": key["SecretAccessKey"]}

    return make


def settings(endpoint: str, **values: Any) -> CacheSettings:
    keys = {"s3_access_key": "key", "s3_secret_key": "sesame-open"}
    return CacheSettings.objects.create(**{"s3_endpoint": endpoint, **keys, **values})


def tried(bucket: str = "") -> list[tuple[str, str]]:
    return [(one.level, one.sentence) for one in store_try(actor=OPERATOR, bucket=bucket)]


def failed(bucket: str = "artefacts") -> str:
    """The one sentence of a trial that fails; the secret is in no place where it could be read."""
    [(level, sentence)] = tried(bucket)
    assert level == "error", sentence
    assert not AuditEntry.objects.latest("pk").detail["ok"]
    assert "sesame" not in sentence + str(AuditEntry.objects.latest("pk").detail)
    return sentence


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that gives each connection to `answer`; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_buckets_of_the_settings_are_tried(store: str, bucket: Any, user: Callable[..., dict[str, str]]) -> None:
    rights = [*READS, "s3:PutObject", "s3:DeleteObject"]
    kept = {"storage": "s3", "storage_bucket": "artefacts", "storage_prefix": "/panel/"}
    settings(store, allowed=["s3://nowhere", "a.example"], **kept, **user(*rights))
    assert tried() == [
        ("success", f"Files can be kept in s3://artefacts at {store}."),
        ("error", f"There is no bucket “nowhere” at {store}. Create it, or correct its name or the endpoint."),
    ]
    requests.post(f"{store}/moto-api/reset-auth", data="inf", timeout=10)
    assert list(bucket.objects.all()) == []
    entry = AuditEntry.objects.get(action="cachesettings.try")
    assert (entry.detail["buckets"], entry.detail["ok"]) == (["artefacts", "nowhere"], False)


def test_a_bucket_that_is_only_read_is_listed(store: str, bucket: Any, user: Callable[..., dict[str, str]]) -> None:
    settings(store, **user(*READS))
    assert tried("artefacts") == tried("s3://artefacts/")
    assert tried("artefacts") == [("success", f"The panel gets in to s3://artefacts at {store}.")]
    with pytest.raises(InputError, match="Name a bucket"):
        store_try(actor=OPERATOR)
    CacheSettings.objects.update(allowed=["s3://other"])
    with pytest.raises(FileRefused, match="not among the origins"):
        store_try(actor=OPERATOR, bucket="artefacts")
    with pytest.raises(FileRefused):
        store_try(actor=OPERATOR, bucket="a b")


def test_a_key_that_may_not_list_is_no_fault(store: str, bucket: Any, user: Callable[..., dict[str, str]]) -> None:
    settings(store, **user("s3:GetObject"))
    [(level, sentence)] = tried("artefacts")
    assert level == "warning"
    assert "does not let its names be listed" in sentence


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        (READS, "does not let the key write to the bucket “artefacts”. Give it s3:PutObject there."),
        ([*READS, "s3:PutObject"], "delete from the bucket “artefacts”. Give it s3:DeleteObject there. The small"),
        (["s3:PutObject", "s3:DeleteObject"], "read from the bucket “artefacts”. Give it s3:GetObject there."),
    ],
)
def test_missing_rights_are_named(
    store: str, user: Callable[..., dict[str, str]], rights: list[str], words: str
) -> None:
    settings(store, storage="s3", storage_bucket="artefacts", **user(*rights))
    assert words in failed("")


def test_wrong_keys(store: str, user: Callable[..., dict[str, str]]) -> None:
    good = user(*READS)
    row = settings(store, s3_access_key=good["s3_access_key"])
    assert failed() == (f"{store} does not accept the secret key. Enter the access key and its secret key again.")
    row.s3_access_key = "nobody"
    row.allowed = ["s3://artefacts", "s3://other"]
    row.save()
    assert "does not know the access key" in failed("")  # once, for two buckets


@pytest.mark.parametrize("values", [{}, {"storage": "s3", "storage_bucket": "nowhere"}])
def test_no_such_bucket(store: str, bucket: Any, values: dict[str, str]) -> None:
    settings(store, **values)
    assert failed("nowhere") == (
        f"There is no bucket “nowhere” at {store}. Create it, or correct its name or the endpoint."
    )


def test_no_bucket_can_have_that_name(store: str) -> None:
    settings(store, storage="s3", storage_bucket="no/bucket")
    assert failed("") == "“no/bucket” is no bucket's name. Correct it."


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"s3_endpoint": "http://a_b.-c"}, "“http://a_b.-c” is no endpoint. Correct it."),
        ({"s3_region": "up north"}, "The region is none that there can be. Correct it."),
    ],
)
def test_settings_that_lead_nowhere(values: dict[str, str], words: str) -> None:
    settings("http://127.0.0.1:9")
    CacheSettings.objects.update(**values)
    assert failed() == words


def test_an_endpoint_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    row = settings(endpoint)
    sentence = failed()
    assert sentence.startswith(f"{endpoint} could not be asked: the connection was refused. Correct the endpoint")
    row.s3_endpoint = "http://s3.invalid"
    row.save()
    assert "its name is not known" in failed()


def test_an_endpoint_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "TRIAL_SILENCE", 0.3)
    gone = threading.Event()
    with server(lambda connection: bool(gone.wait(30)) and None) as place:
        settings(f"http://{place}")
        assert "could not be asked: it was silent for too long." in failed()
        gone.set()


def test_an_endpoint_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never silent for long, so that only the time for all of it ends this."""
    monkeypatch.setattr(trial, "LONGEST", 1.0)

    def drip(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(40):
            connection.sendall(b"<")
            time.sleep(0.1)

    with server(drip) as place:
        settings(f"http://{place}", allowed=["s3://one", "s3://two"])
        began = time.monotonic()
        assert f"http://{place} did not answer for one, two in 1 seconds." in failed("")
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>Hello</html>", "answers, but not as S3 does. Correct the endpoint."),
        (b"", "answers, but not as S3 does. Correct the endpoint."),
        (b"Hello", "answered 500 for the bucket “artefacts”. Correct the endpoint, or"),  # boto3 takes it for that
    ],
)
@pytest.mark.parametrize("values", [{}, {"storage": "s3", "storage_bucket": "artefacts"}])
def test_an_endpoint_that_is_no_store(body: bytes, words: str, values: dict[str, str]) -> None:
    def greet(connection: socket.socket) -> None:
        connection.recv(10_000)
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with server(greet) as place:
        settings(f"http://{place}", **values)
        assert failed().startswith(f"http://{place} {words}")


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def greet(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as line:
            line.recv(10_000)
            line.sendall(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    with server(greet) as place:
        settings(f"https://{place}")
        sentence = failed()
        assert sentence.startswith(f"https://{place} could not be asked: its certificate is not accepted.")
        assert "AWS_CA_BUNDLE" in sentence
        monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
        assert "There is no bucket" in failed()
    with server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as place:
        CacheSettings.objects.update(s3_endpoint=f"https://{place}")
        assert "TLS failed" in failed()


@pytest.mark.parametrize(
    ("code", "right", "has_key", "words"),
    [
        (
            "AccessDenied",
            Right.WRITE,
            False,
            "does not let anybody write to the bucket “a”. Enter a key that",
        ),
        ("PermanentRedirect", Right.LIST, True, "lies in another region"),
        ("RequestTimeTooSkewed", Right.LIST, True, "The clocks of Amazon S3"),
        ("Slow\nDown", Right.LIST, True, "Amazon S3 answered SlowDown for the bucket “a”."),
    ],
)
def test_other_answers(code: str, right: Right, has_key: bool, words: str) -> None:
    assert words in answer_words(code, right, "a", "", has_key=has_key)


def test_what_an_endpoint_holds_in_secret_is_not_told() -> None:
    assert "hidden" not in answer_words("404", Right.LIST, "a", "https://s3.example/?token=hidden", has_key=True)


def test_the_button(client: Client, owner: User, store: str, bucket: Any) -> None:
    client.force_login(owner)
    assert "Try S3" not in client.get(SETTINGS, follow=True).content.decode()  # nothing is saved yet
    settings(store)
    assert "Try S3" in client.get(SETTINGS, follow=True).content.decode()
    answer = client.post(f"{SETTINGS}try/", {"bucket": "artefacts"}, follow=True)
    assert f"The panel gets in to s3://artefacts at {store}." in answer.content.decode()
    assert AuditEntry.objects.get(action="cachesettings.try").actor == owner.username
    assert "Name a bucket" in client.post(f"{SETTINGS}try/", follow=True).content.decode()
    assert client.get(f"{SETTINGS}try/").status_code == 405
    assert client.post(f"{SETTINGS}try/", {"bucket": "a\0"}).status_code == 400


def test_the_button_is_not_for_others(client: Client, outsider: User) -> None:
    settings("")
    client.force_login(outsider)
    assert client.post(f"{SETTINGS}try/").status_code in {302, 403}
    User.objects.filter(pk=outsider.pk).update(is_staff=True)
    assert client.post(f"{SETTINGS}try/").status_code == 403
    assert not AuditEntry.objects.filter(action="cachesettings.try").exists()
