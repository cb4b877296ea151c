"""Secret stores through the real hvac client: versions, log-ins, policies, and what goes wrong."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.access.errors import PanelError
from apps.sesam.errors import StoreError
from apps.sesam.models import SecretStore, StoredSecret
from apps.sesam.patience import Patience
from apps.sesam.vault import store_opened
from tests.fakes.fixtures import Authority
from tests.fakes.vault import FakeVault

HASTY = Patience(connect=20.0, read=20.0, total=40.0, tries=3, limit=120.0, first=0.01, longest=0.02)
# Where the end of it is waited for: that of the silence, or of the whole attempt.
SHORT = {"never": replace(HASTY, read=0.3), "slow": replace(HASTY, total=0.5)}


def store(vault: FakeVault, **more: Any) -> SecretStore:
    given = {"name": "vault", "url": vault.url, "kv_version": 2, "mount": "sesam/kv2", "path_prefix": "manual/"}
    return SecretStore(**given | {"auth": "token", "token": "root-token"} | more)


def present(row: SecretStore, *names: str) -> frozenset[str]:
    with store_opened(row, HASTY) as reader:
        return reader.present(names)


def values(row: SecretStore, *names: str) -> dict[str, str]:
    with store_opened(row, HASTY) as reader:
        return reader.values(names)


@pytest.mark.parametrize(("version", "mount"), [(2, "sesam/kv2"), (1, "kv1"), (2, "/sesam/kv2/")])
def test_present_without_reading_values(fake_vault: FakeVault, version: int, mount: str) -> None:
    for name in ("manual/a", "manual/deep/b", "manual/c d"):
        fake_vault.put(name, "value", mount.strip("/"))
    row = store(fake_vault, kv_version=version, mount=mount)
    assert present(row, "a", "deep/b", "c d", "absent", "deep") == {"a", "deep/b", "c d"}
    assert fake_vault.values_read == []


@pytest.mark.parametrize(("version", "mount"), [(2, "sesam/kv2"), (1, "kv1")])
def test_present_where_only_reading_is_allowed(fake_vault: FakeVault, version: int, mount: str) -> None:
    fake_vault.put("manual/a", "value", mount)
    fake_vault.denied = ["* sesam/kv2/metadata/*", "LIST *"]
    assert present(store(fake_vault, kv_version=version, mount=mount), "a", "absent") == {"a"}
    assert fake_vault.values_read


def test_present_but_removed(fake_vault: FakeVault) -> None:
    fake_vault.put("manual/a", "value")
    fake_vault.mounts["sesam/kv2"].removed.add("manual/a")
    assert present(store(fake_vault), "a") == frozenset()
    with pytest.raises(StoreError, match="a is not there"):
        values(store(fake_vault), "a")


def test_present_nothing_asked(fake_vault: FakeVault) -> None:
    assert present(store(fake_vault)) == frozenset()
    assert fake_vault.requests == []


@pytest.mark.parametrize(("version", "mount"), [(2, "sesam/kv2"), (1, "kv1")])
def test_values(fake_vault: FakeVault, version: int, mount: str) -> None:
    fake_vault.put("manual/a", "first", mount)
    fake_vault.mounts[mount].kept["manual/b"] = {"z": "the first", "a": "the second"}
    row = store(fake_vault, kv_version=version, mount=mount)
    assert values(row, "a", "b", "a") == {"a": "first", "b": "the first"}
    row.field = "a"
    assert values(row, "b") == {"b": "the second"}


def test_values_name_everything_that_is_wrong(fake_vault: FakeVault) -> None:
    kept = fake_vault.mounts["sesam/kv2"].kept
    kept |= {"manual/number": {"value": 7}, "manual/map": {"value": {"a": 1}}, "manual/nothing": {}}
    kept |= {"manual/empty": {"value": ""}, "manual/good": {"value": "secret"}}
    with pytest.raises(StoreError) as raised:
        values(store(fake_vault), "number", "map", "nothing", "empty", "good", "absent", "../sys/raw")
    assert str(raised.value) == (
        "Secret store vault: ../sys/raw is not there; absent is not there; empty is empty; map is no text; "
        "nothing holds nothing; number is no text."
    )
    with pytest.raises(StoreError, match="good has no field other"):
        values(store(fake_vault, field="other"), "good")


@pytest.mark.parametrize("name", ["../other/x", "a/../../x", "./x", "/x", "a//b", ""])
def test_names_cannot_leave_the_prefix(fake_vault: FakeVault, name: str) -> None:
    fake_vault.put("other/x", "value")
    fake_vault.put("x", "value")
    assert present(store(fake_vault), name) == frozenset()
    with pytest.raises(StoreError, match="is not there"):
        values(store(fake_vault), name)
    assert fake_vault.requests == []


def test_github(fake_vault: FakeVault) -> None:
    fake_vault.put("manual/a", "value")
    row = store(fake_vault, auth="github", token=fake_vault.github_token)
    with store_opened(row, HASTY) as reader:
        assert reader.present(["a"]) == {"a"}
        assert reader.values(["a"]) == {"a": "value"}
    assert fake_vault.requests.count(("POST", "/v1/auth/github/login")) == 1
    assert len(fake_vault.revoked) == 1
    fake_vault.github_mount = "auth-of-ours"
    row.auth_mount = "auth-of-ours/"
    assert present(row, "a") == {"a"}


def test_approle(fake_vault: FakeVault) -> None:
    fake_vault.put("manual/a", "value")
    row = store(fake_vault, auth="approle", token="", role_id="role", secret_id="secret-id")
    assert values(row, "a") == {"a": "value"}
    assert len(fake_vault.revoked) == 1


def test_entered_token_stays_good(fake_vault: FakeVault) -> None:
    present(store(fake_vault), "a")
    assert fake_vault.revoked == []


@pytest.mark.parametrize(
    "more",
    [
        {"auth": "github", "token": "wrong-and-secret"},
        {"auth": "approle", "token": "", "role_id": "role", "secret_id": "wrong-and-secret"},
        {"auth": "token", "token": "wrong-and-secret"},
    ],
)
def test_wrong_login(fake_vault: FakeVault, more: dict[str, str]) -> None:
    with pytest.raises(StoreError, match=r"refused while .*Is the log-in right") as raised:
        present(store(fake_vault, **more), "a")
    assert fake_vault.url in str(raised.value)
    assert "wrong-and-secret" not in str(raised.value) + repr(raised.value)


def test_no_such_login_method(fake_vault: FakeVault) -> None:
    with pytest.raises(StoreError, match="gave no token"):
        present(store(fake_vault, auth="github", token="x", auth_mount="elsewhere"), "a")


def test_not_allowed(fake_vault: FakeVault) -> None:
    fake_vault.denied = ["*"]
    with pytest.raises(StoreError, match=r"permission denied.*policies"):
        present(store(fake_vault), "a")


def test_sealed(fake_vault: FakeVault) -> None:
    fake_vault.sealed = True
    with pytest.raises(StoreError, match=r"sealed or down \(503\): Vault is sealed"):
        values(store(fake_vault), "a")
    assert len(fake_vault.requests) == 1


def test_namespace(fake_vault: FakeVault) -> None:
    fake_vault.namespace = "team/one"
    fake_vault.put("manual/a", "value")
    assert present(store(fake_vault, namespace="team/one"), "a") == {"a"}
    with pytest.raises(StoreError, match="permission denied"):
        present(store(fake_vault), "a")


def test_wrong_mount(fake_vault: FakeVault) -> None:
    assert present(store(fake_vault, mount="nowhere"), "a") == frozenset()


def test_tls(fake_vault_tls: FakeVault, authority: Authority) -> None:
    fake_vault_tls.put("manual/a", "value")
    assert present(store(fake_vault_tls, ca_bundle=authority.bundle), "a") == {"a"}
    with pytest.raises(StoreError, match=r"certificate is not accepted.*CA bundle"):
        present(store(fake_vault_tls), "a")
    with pytest.raises(StoreError, match="PEM"):
        present(store(fake_vault_tls, ca_bundle="-----BEGIN CERTIFICATE-----"), "a")


@pytest.mark.parametrize("kind", ["reset_before", "half_body", "html_502", "status:429", "status:500"])
def test_asked_again(fake_vault: FakeVault, kind: str) -> None:
    fake_vault.put("manual/a", "value")
    fake_vault.faults.add("GET", "*", kind, times=2)
    assert values(store(fake_vault), "a") == {"a": "value"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("reset_before", "did not answer while reading a"),
        ("half_body", "did not answer while reading a|not answer as a Vault"),
        ("html_502", "refused while reading a"),
        ("status:500", "refused while reading a"),
        ("garbage", "did not answer as a Vault does"),
        ("redirect", "did not answer as a Vault does"),
        ("never", "silent for too long"),
        ("slow", r"longer than 0\.5 s|silent for too long"),
    ],
)
def test_fails_in_the_end(fake_vault: FakeVault, kind: str, words: str) -> None:
    fake_vault.put("manual/a", "value")
    fake_vault.faults.add("GET", "*", kind, times=None)
    began = time.monotonic()
    patience = SHORT.get(kind, HASTY)
    with pytest.raises(StoreError, match=words) as raised, store_opened(store(fake_vault), patience) as reader:
        reader.values(["a"])
    assert time.monotonic() - began < 30
    assert fake_vault.url in str(raised.value)
    assert "root-token" not in str(raised.value)


def test_nobody_there(fake_vault: FakeVault) -> None:
    fake_vault.close()
    with pytest.raises(StoreError, match="the connection was refused"):
        present(store(fake_vault), "a")


def test_nothing_is_taken_from_the_machine(
    fake_vault: FakeVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A token in the environment or in the home directory must not stand in for a wrong log-in."""
    (tmp_path / ".vault-token").write_text("root-token")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "root-token")
    monkeypatch.setenv("VAULT_ADDR", "http://192.0.2.1:8200")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    row = store(fake_vault, auth="github", token="wrong")
    with pytest.raises(StoreError, match="Is the log-in right"):
        present(row, "a")
    assert fake_vault.requests == [("POST", "/v1/auth/github/login")]


@pytest.fixture
def own(db: None) -> SecretStore:
    row = SecretStore.objects.create(name="own", kind=SecretStore.Kind.PANEL)
    StoredSecret.objects.create(store=row, name="a", value="first")
    StoredSecret.objects.create(store=row, name="b", value="second")
    return row


def test_panels_own(own: SecretStore) -> None:
    with store_opened(own) as reader:
        assert reader.present(["a", "c"]) == {"a"}
        assert reader.values(["a", "b"]) == {"a": "first", "b": "second"}
        with pytest.raises(StoreError, match="Secret store own: c is not there; d is not there"):
            reader.values(["a", "c", "d"])


def test_panels_own_with_another_key(own: SecretStore, settings: object) -> None:
    from cryptography.fernet import Fernet

    settings.KEY_RING = Fernet.generate_key().decode()  # type: ignore[attr-defined]
    with store_opened(own) as reader:
        assert reader.present(["a"]) == {"a"}
        with pytest.raises(PanelError) as raised:
            reader.values(["a"])
    assert "first" not in str(raised.value)
