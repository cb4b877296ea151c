"""Each call of a sync, broken in each way: afterwards the node is as before or as wanted, and the run tells the truth.

Where the node itself refuses every further call, what is owed is kept, and paid as soon as it answers again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from apps.repos.services import repository_fetch
from apps.runs.states import RunState
from apps.sesam.models import Node, SecretStore, StoredSecret, Sync
from apps.sesam.services import owed_pay
from apps.sesam.states import NodeState
from tests.sesam.engine import JWT, METADATA, ROOT, MakeSetting, Setting, log_of, pipe, system, tiny_patience

pytestmark = pytest.mark.django_db

SECRET = "s3cret-value-of-one"
OLD_VARIABLES = {"where": "https://old.example", "gone": 1}
NEW_VARIABLES = {"where": "https://new.example", "added": {"deep": [1, 2]}}
ONCE = ["reset_before", "reset_after", "half_body", "html_502", "never", "status:429", "status:503", "garbage"]
LASTING = ["reset_before", "reset_after", "html_502", "status:401", "status:403"]
SILENCE = 0.5  # seconds to wait for an answer that never comes


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    """A sync of everything: secrets, variables, configuration."""
    store = SecretStore.objects.create(name="own", kind=SecretStore.Kind.PANEL)
    for name, value in (("one", SECRET), ("two", "s3cret-value-of-two")):
        StoredSecret.objects.create(store=store, name=name, value=value)
    both = ["variables", "secrets"]
    dev = make_dev(upload=both, verify=both, secret_store=store, variables_files=["variables.json"])
    dev.commit(
        pipe("a", description="$ENV(where) $SECRET(one)"), pipe("b", comment="$SECRET(two)"), system("s"), METADATA,
        files={f"{ROOT}/variables.json": json.dumps(NEW_VARIABLES)},
    )  # fmt: skip
    return dev


def well(dev: Setting) -> None:
    """Nothing is wrong with the node any more."""
    dev.fake.faults.clear()
    if dev.fake._listener is None:
        with suppress(OSError):  # it may have come back by itself
            dev.fake.open()


def reset(dev: Setting) -> None:
    """As before the sync, all well."""
    well(dev)
    dev.hold(pipe("a"), pipe("old"), METADATA)
    dev.fake.variables = dict(OLD_VARIABLES)
    dev.fake.secrets = {"two": "an older value", "other": "kept"}
    dev.fake.forget()
    Node.objects.filter(pk=dev.node.pk).update(owed=None, state=NodeState.UNKNOWN, state_detail="")


def held(dev: Setting) -> tuple[Any, Any, Any]:
    """What the node holds; of secrets the names, for overwritten values cannot be put back."""
    entities, variables, secrets = dev.state()
    return entities, variables, sorted(secrets)


def sync(dev: Setting) -> Sync:
    return dev.sync(ref="main", commit=dev.repo.shas[-1])


def calls_of(dev: Setting) -> tuple[list[tuple[str, str]], Any, Any]:
    """Every call of a sync in order; what the node held before, and after."""
    assert dev.node.repository is not None
    repository_fetch(repository=dev.node.repository)
    reset(dev)
    before = held(dev)
    row = sync(dev)
    assert row.state == RunState.SUCCEEDED, log_of(row)
    calls = list(dev.fake.requests)
    assert [method for method, path in calls if (method, path) in dev.fake.writes] == ["POST", "PUT", "PUT"]
    return calls, before, held(dev)


def broken(dev: Setting, kind: str, calls: list[tuple[str, str]], place: int, *, lasting: bool) -> None:
    """The call at `place` goes wrong; `lasting`: and every call after it."""
    method, path = calls[place]
    if lasting:
        dev.fake.faults.add("*", "*", kind, times=None, after=place)
    else:
        dev.fake.faults.add(method, path, kind, after=calls[:place].count(calls[place]), **_more(kind))


def _more(kind: str) -> dict[str, str]:
    return {"retry_after": "0"} if kind == "status:429" else {}


def told_truly(dev: Setting, row: Sync, before: Any, wanted: Any, what: str) -> None:
    """The node is as before or as wanted, or it is kept what is owed and paid once the node answers."""
    log, now = log_of(row), held(dev)
    dev.node.refresh_from_db()
    assert row.state in {RunState.SUCCEEDED, RunState.FAILED}, f"{what}: {row.state}\n{log}"
    for secret in (SECRET, "s3cret", JWT):
        assert secret not in log + row.run.summary + json.dumps([row.journal, row.refused, row.run.result]), what
    if row.state == RunState.SUCCEEDED:
        assert now == wanted, f"{what}\n{log}"
        assert dev.node.state == NodeState.IN_SYNC
        assert dev.node.owed is None
        assert {entry["state"] for entry in row.journal} == {"done"}
        return
    assert row.run.summary, what
    if dev.node.owed is None:
        assert now == before, f"{what}: {row.run.summary}\n{log}"
        assert "had before" in row.run.summary or not row.journal, f"{what}: {row.run.summary}"
        assert {entry["state"] for entry in row.journal} <= {"undone"}, what
        return
    assert dev.node.state == NodeState.HALF
    assert "may hold" in row.run.summary, row.run.summary
    assert dev.node.state_detail
    assert not owed_pay(node=dev.node) or held(dev) in (before, wanted), what
    well(dev)
    assert owed_pay(node=dev.node), f"{what}\n{log}"
    dev.node.refresh_from_db()
    assert held(dev) in (before, wanted), f"{what}\n{log}"
    assert dev.node.owed is None
    assert dev.node.state == NodeState.UNKNOWN


@pytest.mark.parametrize("kind", ONCE)
def test_fault_once_at_each_call(dev: Setting, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    calls, before, wanted = calls_of(dev)
    if kind == "never":
        tiny_patience(monkeypatch, SILENCE)
    for place, call in enumerate(calls):
        reset(dev)
        broken(dev, kind, calls, place, lasting=False)
        row = sync(dev)
        told_truly(dev, row, before, wanted, f"{kind} once at {place} {call}")
        # All of these pass, and a second try, or a look at the node, finds that out.
        assert row.state == RunState.SUCCEEDED, f"{kind} once at {place} {call}: {row.run.summary}\n{log_of(row)}"


@pytest.mark.parametrize("kind", LASTING)
def test_fault_from_each_call_on(dev: Setting, kind: str) -> None:
    calls, before, wanted = calls_of(dev)
    for place, call in enumerate(calls):
        reset(dev)
        broken(dev, kind, calls, place, lasting=True)
        told_truly(dev, sync(dev), before, wanted, f"{kind} from {place} {call} on")


@pytest.mark.parametrize("kind", ["status:403", "status:401", "html_502", "reset_before", "reset_after", "never"])
def test_write_that_never_works_is_undone_with_those_before_it(
    dev: Setting, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    calls, before, wanted = calls_of(dev)
    if kind == "never":
        tiny_patience(monkeypatch, SILENCE)
    for method, path in dict.fromkeys(call for call in calls if call[0] != "GET" and "/utils/" not in call[1]):
        reset(dev)
        dev.fake.faults.add(method, path, kind, times=None)
        row = sync(dev)
        told_truly(dev, row, before, wanted, f"{kind} at every {method} {path}")
        assert row.state == (RunState.SUCCEEDED if kind == "reset_after" else RunState.FAILED)
        assert dev.node.owed is None, "all else works, so it was undone at once"


def test_refused_after_each_call(dev: Setting) -> None:
    calls, before, wanted = calls_of(dev)
    for place, call in enumerate(calls, start=1):
        reset(dev)
        dev.fake.faults.add("*", "*", "refused", after=place)
        told_truly(dev, sync(dev), before, wanted, f"refused after {place} {call}")


@pytest.mark.parametrize("seconds", [0.02])
def test_away_for_a_moment_after_each_call(dev: Setting, seconds: float) -> None:
    calls, before, wanted = calls_of(dev)
    for place, call in enumerate(calls, start=1):
        reset(dev)
        dev.fake.faults.add("*", "*", "refused", after=place, seconds=seconds)
        told_truly(dev, sync(dev), before, wanted, f"away after {place} {call}")
