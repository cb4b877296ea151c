"""The plan of a sync and comparisons on a node: who sees what, filters, pages, single entities, JSON, and how fast."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access.levels import Level
from apps.repos.services import repository_fetch
from apps.runs.states import RunState
from apps.sesam import plan_reads, storage
from apps.sesam.models import Node, StoredConfiguration, Sync
from apps.sesam.plan_reads import Filter
from tests.sesam import engine
from tests.sesam.engine import Setting
from tests.sesam.planned import COMMIT, configuration, node_made, pipe, sync_made, sync_started, system, two_sides
from tests.support.cast import grant
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner: User, client: Client) -> Client:
    client.force_login(owner)
    return client


def url(sync: Sync, part: str = "") -> str:
    return f"/admin/sesam/sync/{sync.pk}/plan/{part}"


def compare_url(node: Node, part: str = "") -> str:
    return f"/admin/sesam/node/{node.pk}/compare/{part}"


def body(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def shown(client: Client, address: str) -> list[str]:
    """The ids of the entities of a page, in its order."""
    answer = client.get(address)
    assert answer.status_code == 200
    return [card.change.id for card in answer.context["cards"]]


# --- who sees what ----------------------------------------------------------------------------


@pytest.mark.database
@pytest.mark.parametrize("part", ["", "live/", "entity/?id=sap", "json/"])
def test_who_may_not_see_the_node_sees_no_plan(client: Client, outsider: User, part: str) -> None:
    client.force_login(outsider)
    sync = sync_made(node_made())
    assert client.get(url(sync, part)).status_code == 404
    assert client.get(url(Sync(pk=sync.pk + 1), part)).status_code == 404
    assert client.post(url(sync, part)).status_code == 405


@pytest.mark.database
def test_a_sync_whose_node_is_gone_is_for_superusers(client: Client, owner: User, teammate: User) -> None:
    sync = sync_made(node_made())
    Sync.objects.update(node=None)
    client.force_login(teammate)
    assert client.get(url(sync)).status_code == 404
    client.force_login(owner)
    assert "crm-customer" in body(client, url(sync))


@pytest.mark.database
@pytest.mark.parametrize(("level", "may"), [(Level.VIEW, False), (Level.IN_HOURS, True)])
def test_to_apply_needs_the_right_to(client: Client, teammate: User, level: Level, may: bool) -> None:
    node = node_made()
    grant(teammate, node, level)
    client.force_login(teammate)
    text = body(client, url(sync_made(node)))
    assert ("Apply this plan" in text) == may
    assert ("to apply needs the right to sync" in text) != may


@pytest.mark.parametrize("address", [compare_url, lambda node: compare_url(node, "entity/?id=a")])
def test_comparisons_need_the_node(client: Client, outsider: User, address: Callable[[Node], str]) -> None:
    client.force_login(outsider)
    assert client.get(address(node_made())).status_code == 404


def test_a_nul_is_refused(web: Client) -> None:
    node = node_made()
    assert web.get(url(sync_made(node), "?text=%00")).status_code == 400
    assert web.get(compare_url(node, "?from=%00&to=a")).status_code == 400


# --- filters and pages ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["node", "crm-customer", "erp-order", "legacy-export", "sap-invoice", "erp", "sap"]),
        ("?move=new", ["sap-invoice", "sap"]),
        ("?move=removed", ["legacy-export"]),
        ("?move=ignored", ["tuned"]),
        ("?move=protected", ["watcher"]),
        ("?kind=system", ["erp", "sap"]),
        ("?move=all&kind=system", ["erp", "sap", "tuned", "watcher"]),
        ("?text=STREET", ["erp-order"]),
        ("?text=node/pipes/crm", ["crm-customer"]),
        ("?move=all&text=unchanged-07", ["unchanged-07"]),
        ("?text=nothing%20is%20like%20this", []),
        ("?move=nonsense&kind=nonsense&page=nonsense", None),
    ],
)
def test_filters(web: Client, query: str, ids: list[str] | None) -> None:
    sync = sync_made(node_made())
    usual = ["node", "crm-customer", "erp-order", "legacy-export", "sap-invoice", "erp", "sap"]
    assert shown(web, url(sync, query)) == (usual if ids is None else ids)


def test_pages(web: Client) -> None:
    wanted = configuration(*[pipe(f"p{number:03}") for number in range(45)], folder="node/")
    sync = sync_made(node_made(), sides=(configuration(), wanted))
    assert shown(web, url(sync, "?page=3")) == [f"p{number:03}" for number in range(40, 45)]
    text = body(web, url(sync, "?page=2&kind=pipe"))
    assert '?kind=pipe&amp;page=3#entities"' in text or '?kind=pipe&page=3#entities"' in text
    assert "21 to 40 of 45" in text


def test_tiles_count_and_lead(web: Client) -> None:
    answer = web.get(url(sync_made(node_made()), "?text=a&move=new"))
    counts = {tile.label: tile.number for tile, _ in answer.context["tiles"]}
    assert counts == {"New": 2, "Changed": 4, "Removed": 1, "Unchanged": 30, "Ignored": 1, "Protected": 1}
    queries = {tile.label: query for tile, query in answer.context["tiles"]}
    assert queries["Removed"] == "move=removed&text=a"
    assert queries["New"] == "text=a"  # what is chosen leads back


def test_words_of_a_filter() -> None:
    assert Filter.of({"move": "new", "text": " a b "}).words(kind="pipe") == "move=new&kind=pipe&text=a+b"


# --- what is shown ----------------------------------------------------------------------------


def test_both_sides_of_variables_and_names_of_secrets(web: Client) -> None:
    text = body(web, url(sync_made(node_made())))
    assert "https://crm.example/<mark>v1</mark>" in text.replace("&quot;", '"')
    assert "https://crm.example/<mark>v2</mark>" in text.replace("&quot;", '"')
    assert "sap-password" in text


def test_notes_say_why_something_stays(web: Client) -> None:
    sync = sync_made(node_made())
    text = body(web, url(sync, "?move=ignored")) + body(web, url(sync, "?move=protected"))
    assert "It differs only where that is ignored: tuned#/timeout." in text
    assert "The node&#x27;s version stays." in text


def test_nothing_that_git_or_a_node_says_is_taken_for_html(web: Client) -> None:
    bad = "<script>alert('x')</script>"
    names = [pipe(bad), pipe("p", **{bad: [bad, {bad: bad}]})]
    sync = sync_made(
        node_made(),
        sides=(configuration(pipe("p"), variables={bad: bad}), configuration(*names, folder=bad, variables={bad: 1})),
        commit_subject=bad,
        problems=[{"file": bad, "line": 1, "column": 1, "text": bad, "error": False}],
        missing={"variables": {bad: [bad]}, "secrets": {}},
        refused=[{"entity": bad, "file": bad, "level": bad, "message": bad, "elements": [bad]}],
        questions=[{"kind": "removals", "number": 1, "text": bad}],
        state=RunState.FAILED,
        summary=bad,
    )
    text = body(web, url(sync)) + body(web, url(sync, "entity/?id=p")) + body(web, url(sync, "live/"))
    assert "alert(" in text
    assert "<script>alert" not in text


def test_the_node_s_errors_stand_beside_the_entity(web: Client) -> None:
    refused = [{"entity": "unchanged-03", "level": "error", "message": "No such source.", "elements": ["source"]}]
    sync = sync_made(node_made(), action="sync", state=RunState.FAILED, summary="Refused.", refused=refused)
    assert shown(web, url(sync))[0] == "unchanged-03"  # although nothing would change of it
    assert shown(web, url(sync, "?move=refused")) == ["unchanged-03"]
    text = body(web, url(sync))
    assert "No such source." in text
    assert "Correct the entities below" in text
    assert 'id="apply"' not in text


def test_a_plan_can_be_applied_as_it_is(web: Client) -> None:
    text = body(web, url(sync_made(node_made())))
    assert f'name="ref" value="{COMMIT}"' in text


@pytest.mark.parametrize(
    "fields",
    [
        {"state": RunState.RUNNING, "ended_at": None},
        {"action": "sync"},
        {"action": "sync", "state": RunState.FAILED},
        {"action": "restore", "commit": ""},
        {"sides": (configuration(pipe("a")), configuration(pipe("a")))},
    ],
)
def test_what_cannot_be_applied_offers_no_button(web: Client, fields: dict[str, Any]) -> None:
    assert 'id="apply"' not in body(web, url(sync_made(node_made(), **fields)))


@pytest.mark.parametrize(
    "fields",
    [{"problems": [{"file": "a", "text": "b", "error": True}]}, {"missing": {"variables": {"a": ["b"]}}}],
)
def test_what_git_lacks_must_be_corrected_first(web: Client, fields: dict[str, Any]) -> None:
    text = body(web, url(sync_made(node_made(), **fields)))
    assert "It cannot be applied as it is" in text
    assert 'id="apply"' not in text


def test_extra_nodes_are_listed_with_what_came_of_them(web: Client) -> None:
    sync = sync_made(node_made())
    extras = [
        {"name": "eidsiva", "way": "repository", "target": "eidsiva-conf", "entities": 7, "replicas": [{}, {}],
         "state": "planned", "result": "would be pushed to eidsiva-conf main: 2 added"},
        {"name": "far", "way": "node", "target": "far", "entities": 1, "replicas": [], "state": "refused",
         "result": "refused: outside its hours", "run": sync.run_id},
    ]  # fmt: skip
    Sync.objects.update(extras=extras)
    text = body(web, url(sync))
    assert "would be pushed to eidsiva-conf main: 2 added" in text
    assert "Refused" in text


def test_an_older_plan_says_so(web: Client) -> None:
    node = node_made()
    plan = sync_made(node)
    assert "out of date" not in body(web, url(plan))
    sync_made(node, action="sync")
    assert "This may be out of date." in body(web, url(plan))


# --- at work, failed, gone --------------------------------------------------------------------


def test_a_plan_at_work_shows_how_far_it_is(web: Client) -> None:
    sync = sync_started(node_made())
    text = body(web, url(sync))
    assert f'data-live="{url(sync, "live/")}"' in text
    assert "data-ended" not in text
    region = json.loads(body(web, url(sync, "live/")))["plan-progress"]
    assert "Running" in region
    assert body(web, url(sync, "json/"), status=404)
    assert body(web, url(sync, "entity/?id=a"), status=404)
    Sync.objects.filter(pk=sync.pk).update(state=RunState.FAILED)
    assert "data-ended" in json.loads(body(web, url(sync, "live/")))["plan-progress"]


@pytest.mark.parametrize(
    "state", [RunState.FAILED, RunState.ERRORED, RunState.STOPPED, RunState.TIMED_OUT, RunState.LOST]
)
def test_what_failed_says_why_and_what_to_do(web: Client, state: RunState) -> None:
    sync = sync_made(node_made(), state=state, summary="The node does not answer.", before=None, wanted=None)
    answer = web.get(url(sync))
    assert answer.context["progress"].todo
    assert "The node does not answer." in answer.content.decode()
    assert "Nothing was compared" in answer.content.decode()


def test_a_run_leads_to_what_it_found(web: Client) -> None:
    plan, verified = sync_made(node_made()), sync_made(node_made("ci"), action="verify", before=None, wanted=None)
    assert f'href="{url(plan)}">Entity by entity' in body(web, f"/admin/runs/run/{plan.run_id}/change/")
    assert f'href="{url(verified)}">Everything it found' in body(web, f"/admin/runs/run/{verified.run_id}/change/")
    assert "What Git holds is sound" in body(web, url(verified))


def test_a_pruned_run_leaves_its_plan(web: Client) -> None:
    sync = sync_made(node_made())
    assert sync.run is not None
    sync.run.delete()
    assert "Its log was pruned" in body(web, url(sync))


def test_damaged_configurations_are_told(web: Client) -> None:
    sync = sync_made(node_made(), sides=(configuration(pipe("gone")), configuration(pipe("gone"), pipe("x"))))
    StoredConfiguration.objects.update(data=b"no")
    storage._recent.clear()
    plan_reads._plans.clear()
    assert "is damaged and cannot be read" in body(web, url(sync))
    assert "damaged" in json.loads(body(web, url(sync, "json/"), status=404))["error"]


# --- single entities and JSON -----------------------------------------------------------------


def test_one_entity_as_a_page_and_as_a_part(web: Client) -> None:
    sync = sync_made(node_made())
    page = body(web, url(sync, "entity/?id=erp-order&move=changed"))
    assert "<mark>street, city</mark>" in page
    assert f'href="{url(sync)}?move=changed#entities"' in page
    part = body(web, url(sync, "entity/?id=erp-order&part=1"))
    assert "<mark>street, city</mark>" in part
    assert "<html" not in part
    assert body(web, url(sync, "entity/?id=nobody"), status=404)


def test_large_entities_are_fetched_later(web: Client) -> None:
    sides = configuration(pipe("wide", rules=900)), configuration(pipe("wide", rules=901))
    sync = sync_made(node_made(), sides=sides)
    text = body(web, url(sync))
    assert f'data-lines="{url(sync, "entity/")}?id=wide&amp;part=1"' in text
    assert "column_900" not in text
    assert "column_900" in body(web, url(sync, "entity/?id=wide&part=1"))


def test_json_is_what_the_command_prints(web: Client) -> None:
    missing = {"variables": {"crm_url": ["a.conf.json"]}, "secrets": {}}
    answer = web.get(url(sync_made(node_made(), missing=missing), "json/"))
    assert "attachment" in answer["Content-Disposition"]
    told = answer.json()
    assert told["new"] == ["sap", "sap-invoice"]
    assert told["protected"] == ["watcher"]
    assert told["missing_variables"] == {"crm_url": ["a.conf.json"]}


# --- comparisons ------------------------------------------------------------------------------


def test_two_syncs(web: Client) -> None:
    node = node_made()
    before, wanted = two_sides()
    old, new = sync_made(node, sides=(configuration(), before)), sync_made(node, sides=(before, wanted))
    ids = shown(web, compare_url(node, f"?old={old.pk}&new={new.pk}"))
    assert {"watcher", "tuned", "crm-customer"} <= set(ids)  # no rules: neither side goes anywhere
    assert shown(web, compare_url(node, f"?old={old.pk}&new={new.pk}:had")) == []
    assert shown(web, compare_url(node, f"?old={old.pk}&new={new.pk}&text=sap&move=new")) == ["sap-invoice", "sap"]
    entity = body(web, compare_url(node, f"entity/?old={old.pk}&new={new.pk}&id=sap"))
    assert f"?old={old.pk}&amp;new={new.pk}#entities" in entity
    assert web.get(compare_url(node, f"json/?old={old.pk}&new={new.pk}")).json()["removed"] == ["legacy-export"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?old=1&new=999999", "has no sync"),
        ("?old=x&new=y", "has no sync"),
        ("?to=main", "Nobody has looked at what dev has yet"),
        ("?from=a&to=main", "fetched"),
        ("", "Choose two sides"),
        ("?new=1", "Choose two sides"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(web: Client, query: str, words: str) -> None:
    text = body(web, compare_url(node_made(), query))
    assert words in text
    assert "entities" not in web.get(compare_url(Node.objects.get(), query)).context.get("cards", "")


def test_syncs_of_another_node_are_not_compared(web: Client) -> None:
    mine, other = node_made("mine"), sync_made(node_made("other"))
    assert "has no sync" in body(web, compare_url(mine, f"?old={other.pk}&new={other.pk}"))


@pytest.fixture
def followed(git_repo: Callable[..., GitRepo]) -> tuple[Node, GitRepo]:
    """A node whose repository has two commits: one pipe, then another text of it, a system and a broken file."""
    repo = git_repo("conf")
    repo.commit({"conf/pipes/a.conf.json": json.dumps(pipe("a"))}, "Begin")
    changed = pipe("a", pump={"schedule_interval": 60})
    files = {"a": changed, "../systems/crm": system("crm")}
    repo.commit({f"conf/pipes/{name}.conf.json": json.dumps(value) for name, value in files.items()}, "Go on")
    repo.commit({"conf/pipes/broken.conf.json": "{"}, "Break it")
    node = Node(name="dev", url="https://dev.example/api", jwt="t", repository=repo.declare(), sync_root="conf")
    node.save()
    assert node.repository is not None
    repository_fetch(repository=node.repository)
    return node, repo


@pytest.mark.django_db(transaction=True)
def test_two_commits(web: Client, followed: tuple[Node, GitRepo]) -> None:
    node, repo = followed
    answer = web.get(compare_url(node, f"?from={repo.shas[0]}&to={repo.shas[1][:10]}"))
    assert [card.change.id for card in answer.context["cards"]] == ["a", "crm"]
    broken = body(web, compare_url(node, f"?from={repo.shas[0]}&to=main"))
    assert "conf/pipes/broken.conf.json" in broken
    assert "crm" in broken
    assert "has no branch, tag or commit" in body(web, compare_url(node, "?from=nope&to=main"))


@pytest.mark.django_db(transaction=True)
def test_a_commit_and_what_the_node_last_had(web: Client, followed: tuple[Node, GitRepo]) -> None:
    node, repo = followed
    had = copy.deepcopy(pipe("a"))
    sync_made(node, sides=(configuration(had), configuration(had, system("crm"))), action="sync")
    assert shown(web, compare_url(node, f"?to={repo.shas[1]}")) == ["a"]  # the sync brought crm
    Sync.objects.update(state=RunState.FAILED)
    assert shown(web, compare_url(node, f"?to={repo.shas[1]}")) == ["a", "crm"]


@pytest.mark.django_db(transaction=True)
def test_commits_need_the_repository(client: Client, teammate: User, followed: tuple[Node, GitRepo]) -> None:
    node, repo = followed
    grant(teammate, node, Level.VIEW)  # to see a node implies to see its repository
    client.force_login(teammate)
    assert shown(client, compare_url(node, f"?from={repo.shas[0]}&to={repo.shas[1]}")) == ["a", "crm"]
    Node.objects.filter(pk=node.pk).update(repository=None)
    assert "follows no repository" in body(client, compare_url(node, "?from=a&to=b"))


# --- with a node behind it --------------------------------------------------------------------


@pytest.fixture
def dev(make_dev: engine.MakeSetting) -> Setting:
    return make_dev()


def test_from_a_plan_to_what_was_applied(web: Client, dev: Setting) -> None:
    """Plan, see what is asked, confirm it on the page, and see what was done; all of it real."""
    dev.hold(*[pipe(f"old-{number}") for number in range(20)], system("stays"))
    sha = dev.commit(pipe("a"), system("stays", timeout=5))
    asked = web.post(f"/admin/sesam/node/{dev.node.pk}/plan/", {"ref": "main"})
    assert asked.status_code == 302
    plan = engine.carried_out(Sync.objects.get())
    text = body(web, url(plan))
    assert "20 of the node&#x27;s 21 pipes and systems would be removed" in text
    assert shown(web, url(plan, "?move=new")) == ["a"]
    question = web.get(url(plan)).context["questions"][0]
    dev.commit(pipe("b"), subject="Somebody pushes meanwhile")
    form = {"ref": sha, "confirm": question.value, "confirmed": "1"}
    assert web.post(f"/admin/sesam/node/{dev.node.pk}/sync/", form).status_code == 302
    done = engine.carried_out(Sync.objects.latest("pk"))
    assert (done.state, done.commit) == (RunState.SUCCEEDED, sha)
    assert set(dev.fake.entities) == {"a", "stays"}
    text = body(web, url(done))
    assert "dev had" in text
    assert 'id="apply"' not in text
    assert "has run since" in body(web, url(plan))
    assert shown(web, compare_url(dev.node, "?to=main")) == ["a", "b", "stays"]


# --- how fast ---------------------------------------------------------------------------------


@pytest.fixture
def many() -> Sync:
    """Five thousand pipes of which a hundred change."""
    values = [pipe(f"pipe-{number:04}", rules=12) for number in range(5000)]
    other = [pipe(f"pipe-{number:04}", rules=12 if number % 50 else 13) for number in range(5000)]
    return sync_made(node_made(), sides=(configuration(*values), configuration(*other, folder="node/")))


def test_five_thousand_pipes_stay_usable(web: Client, many: Sync) -> None:
    web.get(url(sync_made(node_made("other"))))  # what only the first page of a process costs
    storage._recent.clear()
    plan_reads._plans.clear()
    taken = {}
    for name, query in {"first": "", "again": "", "page": "?page=4", "text": "?text=column_12&move=all"}.items():
        start = time.process_time()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(shown(web, url(many, query))) == 20
        taken[name] = time.process_time() - start
        assert len(queries) < 30
    print({name: round(seconds, 3) for name, seconds in taken.items()})
    assert max(taken["again"], taken["page"]) < 0.5
    assert max(taken.values()) < 4.0
