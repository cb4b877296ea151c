"""URLs and host keys as tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.access.errors import InputError
from apps.repos.host_keys import host_keys_parse
from apps.repos.remote import remote_identity, remote_parse
from tests.support.sshd import keygen


@pytest.mark.parametrize(
    ("url", "scheme", "user", "host", "port", "path"),
    [
        ("ssh://git@git.shop.example/shop.git", "ssh", "git", "git.shop.example", 0, "/shop.git"),
        ("ssh://git@git.shop.example:22/shop.git", "ssh", "git", "git.shop.example", 0, "/shop.git"),
        ("ssh://git@[::1]:2222/srv/a%20b.git", "ssh", "git", "::1", 2222, "/srv/a b.git"),
        ("SSH://Git.Shop.example/shop", "ssh", "", "git.shop.example", 0, "/shop"),
        ("https://git.shop.example:8443/a/b.git", "https", "", "git.shop.example", 8443, "/a/b.git"),
        ("https://git.shop.example:443/a/b", "https", "", "git.shop.example", 0, "/a/b"),
        ("file:///srv/git/shop.git", "file", "", "", 0, "/srv/git/shop.git"),
        ("file://localhost/srv/git/shop.git", "file", "", "", 0, "/srv/git/shop.git"),
        ("git@github.com:greenhouse/shop.git", "ssh", "git", "github.com", 0, "greenhouse/shop.git"),
        ("github.com:greenhouse/shop", "ssh", "", "github.com", 0, "greenhouse/shop"),
        ("git@[::1]:shop.git", "ssh", "git", "::1", 0, "shop.git"),
        ("deploy.er-1@host_1:/srv/shop.git", "ssh", "deploy.er-1", "host_1", 0, "/srv/shop.git"),
    ],
)
def test_good_urls(url: str, scheme: str, user: str, host: str, port: int, path: str) -> None:
    found = remote_parse(url)
    assert (found.scheme, found.user, found.host, found.port, found.path) == (scheme, user, host, port, path)
    assert found.url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "A URL is needed"),
        ("http://shop.example/x.git", "in the clear"),
        ("git://shop.example/x.git", "neither encryption nor log-in"),
        ("ftp://shop.example/x.git", "is not taken"),
        ("git+ssh://shop.example/x", "Write ssh://"),
        ("javascript://x/y", "is not taken"),
        ("ext::sh -c id", "blanks"),
        ("ext::sh%20-c%20id", "helper that runs a program"),
        ("fd::17", "helper that runs a program"),
        ("-oProxyCommand=id", "option"),
        ("--upload-pack=id", "option"),
        ("ssh://-oProxyCommand=id/x", "no server"),
        ("-x@host:path", "option"),
        ("git@-host:path", "no URL"),
        ("git@host:-path", "no URL"),
        ("ssh://git@ho st/x", "blanks"),
        ("ssh://git@host/x\nProxyCommand id", "blanks"),
        ("ssh://git@host/x%0ay", "control"),
        ("ssh://git@ho%0ast/x", "no server"),
        ("ssh://host:99999/x", "cannot be read"),
        ("ssh://host:-1/x", "cannot be read"),
        ("ssh:///x", "no server"),
        ("https://host", "no repository on it"),
        ("https://host/", "no repository on it"),
        ("https://developer:secret@host/x", "token field"),
        ("ssh://developer:secret@host/x", "token field"),
        ("https://developer@host/x", "user and token fields"),
        ("https://host/x?token=1", "has no"),
        ("https://host/x#y", "has no"),
        ("file://elsewhere/srv/x", "this machine only"),
        ("file:///", "absolute path"),
        ("/srv/git/shop.git", "file:///srv/git/shop.git"),
        ("shop.git", "no URL"),
        ("../shop", "no URL"),
        ("git@host", "no URL"),
    ],
)
def test_bad_urls(url: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        remote_parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:Greenhouse/Shop.git",
        "ssh://git@github.com/greenhouse/shop",
        "ssh://git@github.com:2222/greenhouse/shop.git/",
        "https://github.com/greenhouse/shop.git",
        "http://github.com/greenhouse/shop",
        "https://developer@github.com/greenhouse/shop",
        "https://developer:token@github.com/greenhouse/shop.git",
        " https://github.com/greenhouse/shop ",
    ],
)
def test_one_repository_has_one_identity(url: str) -> None:
    assert remote_identity(url) == "github.com/greenhouse/shop"


def test_other_repositories_have_others() -> None:
    urls = ["git@github.com:a/b", "git@github.com:a/c", "git@gitlab.com:a/b", "file:///a/b", "file:///A/b"]
    assert len({remote_identity(url) for url in urls}) == len(urls)
    assert remote_identity("nothing") == ""


def test_host_keys(tmp_path: Path) -> None:
    keygen(tmp_path / "a")
    keygen(tmp_path / "b", "ecdsa")
    one, two = ((tmp_path / f"{name}.pub").read_text().strip() for name in "ab")
    bare = " ".join(one.split()[:2])
    found = host_keys_parse(f"# comment\n\ngit.shop.example {bare}\n{bare} same\n[host]:22,1.2.3.4 {two}\n")
    assert [key.kind for key in found] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    assert found[0].line == bare
    import subprocess

    said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "a.pub")], capture_output=True, text=True, check=True)
    assert found[0].fingerprint == said.stdout.split()[1]
    assert host_keys_parse("") == []


@pytest.mark.parametrize(
    "text", ["rubbish", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", "ssh-dss AAAAB3NzaC1kc3M="]
)
def test_bad_host_keys(text: str) -> None:
    with pytest.raises(InputError, match="line 2"):
        host_keys_parse(f"\n{text}")
