"""Git servers reached by ssh and https: keys, tokens, and each way in which one is refused."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.access.models import SshKey
from apps.repos import credentials, mirror, selectors, services
from apps.repos.errors import GitError, HostKeyRefused, LoginRefused, RemoteMissing, Unreachable
from apps.repos.models import Repository
from tests.repos.https_server import GitServer
from tests.support.gitrepo import GitRepo
from tests.support.ports import free_port
from tests.support.sshd import Fleet, keygen

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]
WORD = f"t0ken{os.urandom(8).hex()}"  # in no process of another test
TOKEN = f"{WORD}/with:odd@letters"


@pytest.fixture
def shop(git_repo: Factory) -> GitRepo:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    return shop


@pytest.fixture
def server(sshd_fleet: Callable[..., Fleet]) -> Fleet:
    return sshd_fleet(1)


@pytest.fixture
def over_ssh(server: Fleet, shop: GitRepo) -> Repository:
    key = SshKey.objects.create(name="git", private_key=server.private_key)
    url = f"ssh://{server.user}@127.0.0.1:{server[0].port}{shop.bare}"
    return shop.declare(url=url, ssh_key=key, host_keys=server[0].host_key)


def leftovers() -> list[Path]:
    return [path for base in ("/dev/shm", "/tmp") for path in Path(base).glob(f"{credentials.PREFIX}{os.getpid()}-*")]


def test_ssh(over_ssh: Repository, shop: GitRepo) -> None:
    assert services.repository_fetch(repository=over_ssh).fetched
    sha = shop.commit({"a": "2\n"})
    services.repository_fetch(repository=over_ssh)
    assert selectors.commit_resolve(over_ssh, "main").sha == sha
    assert leftovers() == []


def test_ssh_takes_a_key_with_windows_line_ends(over_ssh: Repository, server: Fleet) -> None:
    over_ssh.ssh_key.private_key = server.private_key.rstrip("\n").replace("\n", "\r\n")
    over_ssh.ssh_key.save()
    assert services.repository_fetch(repository=over_ssh).fetched


def test_ssh_without_a_pinned_key_connects_to_nothing(over_ssh: Repository) -> None:
    over_ssh.host_keys = ""
    with pytest.raises(HostKeyRefused, match=r"No host key of 127\.0\.0\.1 is pinned.*Scan host key"):
        services.repository_fetch(repository=over_ssh)


def test_ssh_with_a_changed_host_key(over_ssh: Repository, server: Fleet) -> None:
    from apps.repos.host_keys import host_keys_parse

    before = host_keys_parse(server[0].host_key)[0].fingerprint
    server[0].change_host_key()
    after = host_keys_parse(server[0].host_key)[0].fingerprint
    with pytest.raises(HostKeyRefused, match="has changed") as caught:
        services.repository_fetch(repository=over_ssh)
    assert before in str(caught.value)
    assert after in str(caught.value)
    assert caught.value.offered == after


def test_ssh_with_a_host_key_of_another_kind(over_ssh: Repository, server: Fleet) -> None:
    server[0].change_host_key("ecdsa")
    with pytest.raises(HostKeyRefused):
        services.repository_fetch(repository=over_ssh)


def test_ssh_with_a_wrong_key_or_none(over_ssh: Repository, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    over_ssh.ssh_key.private_key = (tmp_path / "other").read_text()
    over_ssh.ssh_key.save()
    with pytest.raises(LoginRefused, match="does not accept the SSH key"):
        services.repository_fetch(repository=over_ssh)
    over_ssh.ssh_key = None
    with pytest.raises(LoginRefused, match="without an SSH key"):
        services.repository_fetch(repository=over_ssh)
    assert leftovers() == []


def test_ssh_to_no_repository(over_ssh: Repository) -> None:
    over_ssh.url += "-not"
    with pytest.raises(RemoteMissing, match="has no repository"):
        services.repository_fetch(repository=over_ssh)


def test_ssh_to_a_server_that_is_down(over_ssh: Repository, server: Fleet) -> None:
    server[0].stop()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 cannot be reached.*refused"):
        services.repository_fetch(repository=over_ssh)
    over_ssh.refresh_from_db()
    assert "cannot be reached" in over_ssh.fetch_error


def test_ssh_to_a_server_that_says_nothing(over_ssh: Repository, server: Fleet, settings: object) -> None:
    settings.SSH_CONNECT_TIMEOUT = 1  # type: ignore[attr-defined]
    server[0].freeze()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        services.repository_fetch(repository=over_ssh)
    assert time.monotonic() - began < 10


def test_ssh_ignores_the_operators_configuration(
    over_ssh: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/ran\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    services.repository_fetch(repository=over_ssh)
    assert not (tmp_path / "ran").exists()


def test_scan_and_pin_from_the_page(client: Client, owner: User, over_ssh: Repository, server: Fleet) -> None:
    from apps.repos.host_keys import host_keys_parse

    Repository.objects.update(host_keys="")
    client.force_login(owner)
    page = client.post(reverse("admin:repos_repository_scan", args=[over_ssh.pk])).content.decode()
    assert host_keys_parse(server[0].host_key)[0].fingerprint in page
    over_ssh.refresh_from_db()
    assert over_ssh.host_keys == ""  # nothing is trusted by looking
    client.post(reverse("admin:repos_repository_pin", args=[over_ssh.pk]), {"key": [server[0].host_key]})
    over_ssh.refresh_from_db()
    assert over_ssh.host_keys == server[0].host_key
    assert services.repository_fetch(repository=over_ssh).fetched


def test_scan_of_nothing(shop: GitRepo, server: Fleet) -> None:
    server[0].stop()
    repository = shop.declare(url=f"ssh://git@127.0.0.1:{server[0].port}/x.git")
    with pytest.raises(Unreachable, match="shows no host key"):
        services.host_keys_scan(repository=repository)


@pytest.fixture
def https(shop: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    server = GitServer(shop.bare.parent, tmp_path, token=TOKEN)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(server.certificate))
    monkeypatch.setenv("no_proxy", "*")
    yield server
    server.stop()


def test_https_with_a_token(shop: GitRepo, https: GitServer) -> None:
    repository = shop.declare(url=f"{https.url}/shop.git", username="panel", access_token=TOKEN)
    services.repository_fetch(repository=repository)
    sha = shop.commit({"a": "2\n"})
    assert services.repository_fetch(repository=repository).changes[0].after == sha
    assert leftovers() == []


@pytest.mark.parametrize("token", ["", "wrong"])
def test_https_with_a_wrong_token_or_none(shop: GitRepo, https: GitServer, token: str) -> None:
    repository = shop.declare(url=f"{https.url}/shop.git", username="panel", access_token=token)
    with pytest.raises(LoginRefused, match="does not accept") as caught:
        services.repository_fetch(repository=repository)
    assert not token or token not in f"{caught.value} {caught.value.said}"


def test_https_to_no_repository(shop: GitRepo, https: GitServer) -> None:
    repository = shop.declare(url=f"{https.url}/nothing.git", username="panel", access_token=TOKEN)
    with pytest.raises(RemoteMissing):
        services.repository_fetch(repository=repository)


def test_https_with_a_certificate_that_nobody_knows(
    shop: GitRepo, https: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO")
    repository = shop.declare(url=f"{https.url}/shop.git", access_token=TOKEN)
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        services.repository_fetch(repository=repository)
    assert https.seen == []


def test_https_token_is_not_given_to_another_server(
    shop: GitRepo, https: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = GitServer(shop.bare.parent, tmp_path / "other", token="their-own")
    try:
        both = tmp_path / "both.pem"
        both.write_bytes(https.certificate.read_bytes() + other.certificate.read_bytes())
        monkeypatch.setenv("GIT_SSL_CAINFO", str(both))
        https.redirect_to = other.url
        repository = shop.declare(url=f"{https.url}/shop.git", username="panel", access_token=TOKEN)
        with pytest.raises(GitError):
            services.repository_fetch(repository=repository)
        assert set(other.seen) == {""}
    finally:
        other.stop()


def test_no_secret_is_in_any_process(shop: GitRepo, https: GitServer, over_ssh: Repository, server: Fleet) -> None:
    """All processes' arguments and environments, looked at while fetches go on."""
    repository = Repository.objects.create(
        name="other", url=f"{https.url}/shop.git", username="panel", access_token=TOKEN
    )
    secrets = [TOKEN.encode(), WORD.encode(), server.private_key.splitlines()[2].encode()]
    found: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                if folder.name == str(os.getpid()):
                    continue
                for name in ("cmdline", "environ"):
                    try:
                        raw = (folder / name).read_bytes()
                    except OSError:
                        continue
                    found.extend(f"{folder.name} {name}" for secret in secrets if secret in raw)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for one in (repository, over_ssh):
            services.repository_fetch(repository=one)
            mirror.remote_refs(services.login_of(one))
    finally:
        done.set()
        thread.join()
    assert found == []
    for one in (repository, over_ssh):
        kept = b"".join(path.read_bytes() for path in mirror.mirror_path(one.pk).rglob("*") if path.is_file())
        assert not any(secret in kept for secret in secrets)


def test_folders_of_killed_processes_are_swept(tmp_path: Path) -> None:
    base = Path("/dev/shm")
    if not os.access(base, os.W_OK):
        pytest.skip("no /dev/shm here")
    old, young = (base / f"{credentials.PREFIX}{os.getpid()}x-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (1, 1))
    try:
        credentials._sweep(base)
        assert not old.exists()
        assert young.exists()
    finally:
        young.rmdir()


def test_https_over_a_dead_port(shop: GitRepo) -> None:
    repository = shop.declare(url=f"https://127.0.0.1:{free_port()}/shop.git")
    with pytest.raises(Unreachable):
        services.repository_fetch(repository=repository)


def test_logins_do_not_show_their_secrets() -> None:
    login = credentials.Login(url="https://x/y", private_key="very-private", token="very-secret")
    assert "very" not in repr(login)


def test_commands(shop: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import call_command

    shop.declare()
    call_command("repos", "fetch", "shop", "--json")
    assert shop.shas[0] in capsys.readouterr().out
    call_command("repos", "fetch", "shop")
    call_command("repos", "log", "shop")
    said = capsys.readouterr().out
    assert "shop is up to date." in said
    assert shop.shas[0][:8] in said
    assert "Shop Coder" in said
    call_command("repos", "list", "--json")
    assert '"name": "shop"' in capsys.readouterr().out
    for arguments in (("log", "shoop"), ("log", "shop", "--ref", "mian"), ("fetch", "")):
        with pytest.raises(SystemExit) as ended:
            call_command("repos", *arguments)
        assert ended.value.code == 2
    assert "Did you mean main?" in capsys.readouterr().err


def test_commands_as_someone(shop: GitRepo, outsider: User, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import call_command

    shop.declare()
    call_command("repos", "list", "--as", "outsider")
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit) as ended:
        call_command("repos", "fetch", "shop", "--as", "outsider")
    assert ended.value.code == 2
