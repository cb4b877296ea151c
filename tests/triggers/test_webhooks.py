"""What forges say, read into one form: tables of payloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from apps.triggers import signatures, webhooks
from apps.triggers.errors import Unreadable
from apps.triggers.webhooks import PushEvent

A, B = "a1" * 20, "b2" * 20
MAIN, TAG = "refs/heads/main", "refs/tags/v1.2"


def payload(name: str) -> Any:
    return json.loads((Path(__file__).parent / "payloads" / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [
        ("github_push", "push", [(MAIN, A, B, False)]),
        ("github_forced", "push", [("refs/heads/feature/tulips/red", A, B, True)]),
        ("github_first", "push", [("refs/heads/feature/tulips", "", B, False)]),
        ("github_deleted", "push", [("refs/heads/feature/tulips", A, "", False)]),
        ("github_tag", "push", [(TAG, "", B, False)]),
        ("github_issue", "issues", []),
        ("gitlab_push", "Push Hook", [(MAIN, A, B, False)]),
        ("gitlab_push", "System Hook", [(MAIN, A, B, False)]),
        ("gitlab_tag", "Tag Push Hook", [(TAG, "", B, False)]),
        ("gitlab_deleted", "Push Hook", [("refs/heads/feature/tulips", A, "", False)]),
        ("gitlab_push", "Pipeline Hook", []),
        ("gitea_push", "push", [(MAIN, A, B, False)]),
        ("gitea_delete", "delete", [("refs/heads/feature/tulips", "", "", False)]),
        ("bitbucket_push", "repo:push",
         [(MAIN, A, B, False), (TAG, "", B, False), ("refs/heads/feature/tulips", A, "", False)]),
        ("bitbucket_server_push", "repo:refs_changed", [(MAIN, A, B, False)]),
        ("git_push", "push", [(MAIN, A, B, False)]),
    ],
)  # fmt: skip
def test_pushes(name: str, event: str, expected: list[tuple[str, str, str, bool]]) -> None:
    found = webhooks.pushes_of(name.partition("_")[0], event, payload(name))
    assert [(push.ref, push.before, push.after, push.forced) for push in found] == expected
    assert {push.pusher for push in found} <= {"developer", ""}
    assert name == "gitea_delete" or all(push.pusher == "developer" for push in found)


def test_kinds_and_names() -> None:
    branch = PushEvent(ref="refs/heads/feature/x/y", before="", after=B)
    assert (branch.kind, branch.name, branch.first, branch.deleted) == ("branch", "feature/x/y", True, False)
    tag = PushEvent(ref="refs/tags/v1/2", before=A, after="")
    assert (tag.kind, tag.name, tag.deleted) == ("tag", "v1/2", True)
    note = PushEvent(ref="refs/notes/commits", before=A, after=B)
    assert (note.kind, note.name) == ("other", "refs/notes/commits")
    assert PushEvent(**branch.as_json()) == branch


@pytest.mark.parametrize(
    ("name", "identity", "full_name"),
    [
        ("github_push", "github.com/greenhouse/shop", "greenhouse/shop"),
        ("gitlab_push", "gitlab.shop.example/greenhouse/plants/shop", "greenhouse/plants/shop"),
        ("gitea_push", "gitea.shop.example/greenhouse/shop", "greenhouse/shop"),
        ("bitbucket_push", "bitbucket.org/greenhouse/shop", "greenhouse/shop"),
        ("bitbucket_server_push", "bitbucket.shop.example/green/shop", "green/shop"),
        ("git_push", None, "shop"),
    ],
)
def test_repository_names(name: str, identity: str | None, full_name: str) -> None:
    names = webhooks.names_of(payload(name))
    assert full_name in names.names
    if identity:
        assert identity in names.identities


def test_the_server_of_bitbucket_is_found_by_its_ssh_address() -> None:
    from apps.repos.remote import remote_identity

    found = webhooks.names_of(payload("bitbucket_server_push")).identities
    assert remote_identity("ssh://git@bitbucket.shop.example:7999/green/shop.git") in found


BROKEN: list[dict[str, Any]] = [
    {},
    {"ref": "refs/heads/main"},
    {"ref": 7, "before": A, "after": B},
    {"ref": "", "before": A, "after": B},
    {"ref": "refs/heads/a b", "before": A, "after": B},
    {"ref": "refs/heads/a\x00b", "before": A, "after": B},
    {"ref": "refs/heads/\ud800", "before": A, "after": B},
    {"ref": "refs/heads/" + "x" * 300, "before": A, "after": B},
    {"ref": "refs/heads/main", "before": A, "after": "--upload-pack=x"},
    {"ref": "refs/heads/main", "before": A, "after": "abc"},
    {"ref": "refs/heads/main", "before": None, "after": B},
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea", "git"])
def test_what_cannot_be_is_refused(forge: str, broken: dict[str, Any]) -> None:
    event = {"gitlab": "Push Hook"}.get(forge, "push")
    with pytest.raises(Unreadable):
        webhooks.pushes_of(forge, event, broken)


@pytest.mark.parametrize(
    "broken", [{}, {"push": 1}, {"push": {"changes": [1]}}, {"push": {"changes": [{"new": {"name": 1}}]}}]
)
def test_broken_bitbucket_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        webhooks.pushes_of("bitbucket", "repo:push", broken)
    with pytest.raises(Unreadable):
        webhooks.pushes_of("bitbucket", "repo:refs_changed", {"changes": [{"ref": 1}]})


def test_bodies() -> None:
    given = {"ref": "refs/heads/main"}
    assert webhooks.payload_of(json.dumps(given).encode(), "application/json") == given
    form = urlencode({"payload": json.dumps(given)}).encode()
    assert webhooks.payload_of(form, "application/x-www-form-urlencoded; charset=utf-8") == given


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"7", "application/json"),
        (b"\xff\xfe\xff", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=b"] * 50), "application/x-www-form-urlencoded"),
        (b"payload={", "application/x-www-form-urlencoded"),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, content_type: str) -> None:
    with pytest.raises(Unreadable):
        webhooks.payload_of(body, content_type)


@pytest.mark.parametrize(
    "odd", [{"repository": 1}, {"repository": {"links": 7, "project": 3}}, {"project": []}, {"repository": "x" * 9999}]
)
def test_odd_names_do_no_harm(odd: dict[str, Any]) -> None:
    webhooks.names_of(odd)


def test_masking() -> None:
    given = {
        "secret": "a",
        "hook": {"config": {"API-key": "b", "api_key": "c"}},
        "list": [{"access_token": "d"}],
        "text": "so s3cret it is",
        "token": "",
    }
    found = webhooks.masked(given, ("s3cret", ""))
    assert found["secret"] == found["hook"]["config"]["api_key"] == found["list"][0]["access_token"] == "•••"
    assert found["text"] == "so ••• it is"
    assert found["token"] == ""


SECRETS = ("new-secret", "old-secret")


def proof(forge: str, secret: str, body: bytes) -> dict[str, str]:
    """The headers that the forge itself would send."""
    import hashlib
    import hmac

    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "github": {"X-Hub-Signature-256": f"sha256={signature}"},
        "gitlab": {"X-Gitlab-Token": secret},
        "gitea": {"X-Gitea-Signature": signature},
        "bitbucket": {"X-Hub-Signature": f"sha256={signature}"},
        "git": {"X-Deploypanel-Signature": f"sha256={signature}"},
    }[forge]


@pytest.mark.parametrize("forge", list(signatures.FORGES))
def test_proofs(forge: str) -> None:
    body = b'{"ref": 1}'
    for secret in SECRETS:
        assert signatures.is_genuine(forge, proof(forge, secret, body), body, SECRETS)
    for wrong in ("", "other", "new-secret "):
        assert not signatures.is_genuine(forge, proof(forge, wrong, body), body, SECRETS)
    assert not signatures.is_genuine(forge, {}, body, SECRETS)
    assert not signatures.is_genuine(forge, proof(forge, "", body), body, ("", ""))
    assert not signatures.is_genuine(forge, proof(forge, "", body), body, ())
    right = proof(forge, SECRETS[0], body)
    if forge != "gitlab":  # its token does not sign the body
        assert not signatures.is_genuine(forge, right, body + b" ", SECRETS)
    for header in right:
        for odd in ("é", "\udce9", right[header] + "0", right[header].upper(), "sha1=" + right[header]):
            assert not signatures.is_genuine(forge, {header: odd}, body, SECRETS) or odd == right[header]


def test_the_token_header_of_a_plain_hook() -> None:
    assert signatures.is_genuine("git", {"X-Deploypanel-Token": "new-secret"}, b"x", SECRETS)
    assert not signatures.is_genuine("git", {"X-Deploypanel-Token": ""}, b"x", ("", ""))


@pytest.mark.parametrize("forge", list(signatures.FORGES))
def test_the_same_work_is_done_whatever_is_wrong(forge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret, one, two, no header, a wrong one, a right one: as many comparisons, as many signatures."""
    calls: list[str] = []
    real_compare, real_new = signatures.hmac.compare_digest, signatures.hmac.new
    monkeypatch.setattr(signatures.hmac, "compare_digest", lambda a, b: calls.append("compare") or real_compare(a, b))
    monkeypatch.setattr(signatures.hmac, "new", lambda *a: calls.append("sign") or real_new(*a))
    seen = set()
    for headers in ({}, proof(forge, "new-secret", b"x"), proof(forge, "wrong", b"x")):
        for secrets in ((), ("new-secret",), SECRETS, ("", "")):
            calls.clear()
            signatures.is_genuine(forge, headers, b"x", secrets)
            seen.add(tuple(sorted(calls)))
    assert len(seen) == 1


def test_delivery_numbers() -> None:
    number = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert signatures.delivery_of("github", {"X-GitHub-Delivery": number}, b"x") == number
    assert signatures.delivery_of("gitlab", {"X-Gitlab-Event-UUID": number}, b"x") == number
    plain = signatures.delivery_of("git", {}, b"x")
    assert plain.startswith("sha256:")
    assert len(plain) <= 100
    for odd in ("", "x" * 200, "a b", "é"):
        assert signatures.delivery_of("github", {"X-GitHub-Delivery": odd}, b"x") == plain
