"""A shop with an environment that deploys itself, and a way to call its hooks as the forges do."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from apps.access.models import SshKey
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository

SECRET = "a-secret-that-both-know"
PAYLOADS = Path(__file__).parent / "payloads"
EVENTS = {
    "github": ("X-GitHub-Event", "push"),
    "gitlab": ("X-Gitlab-Event", "Push Hook"),
    "gitea": ("X-Gitea-Event", "push"),
    "bitbucket": ("X-Event-Key", "repo:push"),
    "git": ("X-Deploypanel-Event", "push"),
}
PROOFS = {
    "github": ("X-Hub-Signature-256", "sha256="),
    "gitea": ("X-Gitea-Signature", ""),
    "bitbucket": ("X-Hub-Signature", "sha256="),
    "git": ("X-Deploypanel-Signature", "sha256="),
}


@pytest.fixture
def shop(owner: User) -> Repository:
    return Repository.objects.create(name="shop", url="git@github.com:greenhouse/shop.git", webhook_secret=SECRET)


@pytest.fixture
def staging(shop: Repository, owner: User) -> Environment:
    key = SshKey.objects.create(name="fleet", private_key="none")
    host = Host.objects.create(name="web1", address="127.0.0.1", user="deploy", ssh_key=key)
    cluster = Cluster.objects.create(name="blue")
    cluster.hosts.add(host)
    environment = Environment.objects.create(
        repository=shop, name="staging", branch="main", target_path="/srv/shop", auto_deploy=True, deploy_as=owner
    )
    environment.clusters.add(cluster)
    return environment


def body_of(name: str, **changes: Any) -> bytes:
    return json.dumps(json.loads((PAYLOADS / f"{name}.json").read_text()) | changes).encode()


def headers_of(forge: str, body: bytes, secret: str = SECRET, event: str = "", delivery: str = "") -> dict[str, str]:
    name, usual = EVENTS[forge]
    found = {name: event or usual}
    if forge == "gitlab":
        found["X-Gitlab-Token"] = secret
    else:
        header, prefix = PROOFS[forge]
        found[header] = prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if delivery:
        found[{"github": "X-GitHub-Delivery", "gitlab": "X-Gitlab-Event-UUID"}.get(forge, "X-Gitea-Delivery")] = (
            delivery
        )
    return found


@pytest.fixture
def call(client: Client) -> Callable[..., HttpResponse]:
    """`call("github", "github_push", delivery="1")`; `headers` and `body` override what is made."""

    def send(forge: str, payload: str = "", **options: Any) -> HttpResponse:
        body = options.pop("body", None) or body_of(payload, **options.pop("changes", {}))
        path = options.pop("path", f"/hooks/{forge}")
        content_type = options.pop("content_type", "application/json")
        accept = {"Accept": options.pop("accept")} if "accept" in options else {}
        headers = options.pop("headers", None)
        headers = headers_of(forge, body, **options) if headers is None else headers
        return client.post(path, body, content_type=content_type, headers=headers | accept)

    return send
