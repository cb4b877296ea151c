"""Triggers and agents in a declaration: made, changed, kept, removed, refused with their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from apps.access.models import AuditEntry
from apps.agents.models import Agent
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository
from apps.sesam.models import Node
from apps.triggers.models import Action, EndSource, PushSource, Trigger
from apps.triggers.services.secrets import secret_digest, secret_opens
from deploypanel.declaration.dump import declaration_dump
from tests.declaration.conftest import FULL, Apply, problems

pytestmark = pytest.mark.django_db

RESTART = "steps:\n  - shell: systemctl restart web\n"
TRIGGERS = (
    FULL.replace(
        "grants: [{environment: shop/prod, permission: deploy}]}", "grants: [{trigger: web, permission: fire}]}"
    )
    + """\
nodes: [{name: dev, url: "http://127.0.0.1:9042/api", jwt: token, repository: shop}]
agents: [{name: build1, note: In the cellar}, {name: build2}]
triggers:
  - name: web
    secret: an-open-sesame
    concurrency: each
    hours: office
    when_closed: hold
    rate_limit: {firings: 10, seconds: 30}
    act_as: auto
    agents: [build2, build1]
    build_script: restart.yaml
    on_push: {repository: shop, branches: [main], paths: ["web/**"]}
    after: [{run_of: shop/prod, states: [succeeded, failed]}, {run_of: later}]
    schedule: "0 3 * * *"
    does:
      - {agents: true, when: {present: /branch}}
      - {deploy: shop/prod, commit_from: /after, when: {equals: {/count: 5, /on: true, /word: NO}}}
      - {sync: dev}
      - {script: restart.yaml, hosts: [web1], cluster: blue}
  - name: later
"""
)


@pytest.fixture(autouse=True)
def restart(folder: Path) -> None:
    (folder / "restart.yaml").write_text(RESTART)


def test_apply_makes_triggers_with_all_that_belongs_to_them(apply: Apply) -> None:
    apply(TRIGGERS)
    web = Trigger.objects.get(name="web")
    assert secret_opens(web, "an-open-sesame")
    assert not secret_opens(web, "another")
    assert (web.concurrency, web.when_closed, web.rate_limit, web.rate_seconds) == ("each", "hold", 10, 30)
    assert (web.hours.name, web.act_as.username) == ("office", "auto") if web.hours and web.act_as else False
    assert sorted(web.agents.values_list("name", flat=True)) == ["build1", "build2"]
    assert web.script.strip() == RESTART.strip()
    push = PushSource.objects.get(trigger=web)
    assert (push.repository.name, push.branches, push.paths) == ("shop", ["main"], ["web/**"])
    ends = {source.of.path: source.states for source in EndSource.objects.filter(trigger=web)}
    assert ends == {"shop/prod": ["succeeded", "failed"], "later": []}
    actions = list(Action.objects.filter(trigger=web))
    assert [action.kind for action in actions] == ["agents", "deploy", "sync", "script"]
    assert actions[0].when == {"present": "/branch"}
    assert (actions[1].environment, actions[1].commit_from) == (Environment.objects.get(), "/after")
    assert actions[1].when == {"equals": {"/count": 5, "/on": True, "/word": "NO"}}
    assert actions[2].node == Node.objects.get()
    assert (actions[3].hosts.get(), actions[3].cluster) == (Host.objects.get(name="web1"), Cluster.objects.get())
    assert "fire" in str(apply("users: [{name: auto, grants: [{trigger: web, permission: view}]}]").lines())


def test_apply_and_dump_agree(apply: Apply) -> None:
    apply(TRIGGERS)
    assert apply(TRIGGERS).changes == []
    text = declaration_dump()
    assert "an-open-sesame" not in text
    assert "secret: (kept)" in text
    assert apply(text, remove=True).changes == []
    Trigger.objects.all().delete()
    apply(text.replace("\n    secret: (kept)", ""))
    assert "secret" not in declaration_dump().split("triggers:")[1]
    assert [line for line in declaration_dump().splitlines() if "secret" not in line] == [
        line for line in text.splitlines() if "secret" not in line
    ]


def test_a_new_secret_leaves_the_former_one_good_and_nothing_takes_both(apply: Apply) -> None:
    apply(TRIGGERS)
    lines = apply("triggers: [{name: web, secret: a-new-one}]").lines()
    assert lines == ["changed trigger web", "    secret: changed", "1 changed"]
    web = Trigger.objects.get(name="web")
    assert secret_opens(web, "a-new-one")
    assert secret_opens(web, "an-open-sesame")
    assert apply("triggers: [{name: web, secret: (kept)}]").changes == []
    assert apply("triggers: [{name: web, secret: an-open-sesame}]").changes  # what the file says is the present one
    web.refresh_from_db()
    assert web.secret_digest == secret_digest("an-open-sesame")
    assert secret_opens(web, "a-new-one")
    apply("triggers: [{name: web, secret: }]")
    web.refresh_from_db()
    assert not secret_opens(web, "a-new-one")
    assert "new-one" not in str(list(AuditEntry.objects.values_list("detail", flat=True)))


def test_actions_that_stay_keep_their_rows(apply: Apply) -> None:
    apply(TRIGGERS)
    before = {action.kind: action.pk for action in Action.objects.all()}
    outcome = apply(
        "triggers: [{name: web, does: [{script: restart.yaml, hosts: [web1], cluster: blue}, {sync: dev},"
        " {deploy: shop/prod}, {deploy: shop/prod, when: {present: /x}}]}]"
    )
    assert "deploy shop/prod when {'present': '/x'}" in outcome.lines()[1]
    after = list(Action.objects.values_list("kind", "position", "pk"))
    assert after[:3] == [("script", 0, before["script"]), ("sync", 1, before["sync"]), ("deploy", 2, before["deploy"])]
    assert len(after) == 4
    assert "agents" not in dict(Action.objects.values_list("kind", "pk"))


def test_settings_leave_alone_what_firings_move(apply: Apply) -> None:
    apply(TRIGGERS)
    Trigger.objects.filter(name="web").update(count=7)
    lines = apply("triggers: [{name: web, rate_limit: , concurrency: skip, on_push: [], schedule: ''}]").lines()
    assert "    rate_limit: 10 in 30 s → nothing" in lines
    assert "    on_push: [shop main web/**] → []" in lines
    web = Trigger.objects.get(name="web")
    assert (web.count, web.rate_limit, web.concurrency, web.next_at) == (7, None, "skip", None)
    assert secret_opens(web, "an-open-sesame")
    assert not PushSource.objects.exists()


def test_prune_removes_what_is_not_named_and_keeps_what_is_in_use(apply: Apply) -> None:
    apply(TRIGGERS)
    Trigger(name="").save()  # an old client's: no file can name it
    found = problems(apply, "agents: [{name: build1}]", remove=True)
    assert found == ["1:9: agents: the agent 'build2' is not in the file but still in use by trigger web"]
    for section, noun in {"hosts": "host 'web1'", "clusters": "cluster 'blue'", "nodes": "node 'dev'"}.items():
        assert any(noun in line and "trigger web" in line for line in problems(apply, f"{section}: []", remove=True))
    apply("triggers: [{name: later}]\nagents: []", remove=True)
    assert sorted(Trigger.objects.values_list("name", flat=True)) == ["", "later"]
    assert not Agent.objects.exists()
    assert Repository.objects.exists()


CASES: dict[str, tuple[str, str]] = {
    "no name": ("{secret: x}", "1:12: triggers[0]: name is missing"),
    "empty name": ("{name: ''}", "1:19: triggers[0].name: cannot be empty"),
    "empty secret": ("{name: a, secret: ' '}", "1:30: triggers[0].secret: secret: A secret must not be empty."),
    "nothing to keep": ("{name: a, secret: (kept)}", "1:30: triggers[0].secret: there is nothing to keep"),
    "choice": ("{name: a, concurrency: lates}", "1:35: triggers[0].concurrency: 'lates' is none of each, latest, skip"),
    "rate": ("{name: a, rate_limit: {firings: 0}}", "1:44: triggers[0].rate_limit.firings: give a number from 1 to"),
    "rate key": ("{name: a, rate_limit: {firing: 1}}", "1:43: triggers[0].rate_limit.firing: no such key; did you"),
    "rate text": ("{name: a, rate_limit: 10}", "1:34: triggers[0].rate_limit: a mapping is needed here, not a number"),
    "schedule": ("{name: a, schedule: '61 * * * *'}", "1:32: triggers[0].schedule:"),
    "push": ("{name: a, on_push: {repository: shp}}", "1:44: triggers[0].on_push.repository: no repository is called"),
    "push to nothing": ("{name: a, on_push: {branches: [main]}}", "1:31: triggers[0].on_push: repository is missing"),
    "push key": ("{name: a, on_push: {repo: shop}}", "1:38: triggers[0].on_push.repo: no such key"),
    "patterns": (
        "{name: a, on_push: {repository: shop, paths: ['']}}",
        "1:57: triggers[0].on_push.paths: pattern 1 must",
    ),
    "after": (
        "{name: a, after: {run_of: shop/prd}}",
        "1:38: triggers[0].after.run_of: no environment, node, repository",
    ),
    "after state": (
        "{name: a, after: [{run_of: a, states: [ended]}]}",
        "1:51: triggers[0].after[0].states[0]: no run ends",
    ),
    "after nothing": ("{name: a, after: [{}]}", "1:30: triggers[0].after[0]: say whose run"),
    "does": ("{name: a, does: [{deploy: shop/prod, sync: dev}]}", "1:29: triggers[0].does[0]: an item does one of"),
    "does wrong": ("{name: a, does: [{fire: b}]}", "1:36: triggers[0].does[0].fire: no such key"),
    "does beside": (
        "{name: a, does: [{agents: true, cluster: blue}]}",
        "1:53: triggers[0].does[0].cluster: agents takes no",
    ),
    "no hosts": ("{name: a, does: [{script: restart.yaml}]}", "1:38: triggers[0].does[0].script: say where it runs"),
    "no script": (
        "{name: a, does: [{script: gone.yaml, hosts: [web1]}]}",
        "1:38: triggers[0].does[0].script: gone.yaml: cannot",
    ),
    "bad script": ("{name: a, build_script: bad.yaml}", "1:36: triggers[0].build_script: bad.yaml: line 2, column 5:"),
    "rule": ("{name: a, does: [{sync: dev, when: {equal: {}}}]}", "1:47: triggers[0].does[0].when: no rule is"),
    "pointer": (
        "{name: a, does: [{sync: dev, commit_from: after}]}",
        "1:54: triggers[0].does[0].commit_from: 'after' is no",
    ),
    "agent": ("{name: a, agents: [build3]}", "1:31: triggers[0].agents[0]: no agent is called 'build3'"),
}


def test_problems_are_named_with_their_place(apply: Apply, folder: Path) -> None:
    (folder / "bad.yaml").write_text("steps:\n  - shel: ls\n")
    apply(TRIGGERS)
    told = {case: problems(apply, f"triggers: [{text}]") for case, (text, _) in CASES.items()}
    missed = {case: lines for case, lines in told.items() if not any(line.startswith(CASES[case][1]) for line in lines)}
    assert missed == {}
    assert not Trigger.objects.filter(name="a").exists()


def test_two_things_of_one_name_are_told_apart(apply: Apply) -> None:
    apply(TRIGGERS)
    found = problems(apply, "triggers: [{name: shop, after: {run_of: shop}}]")
    assert "repository and trigger are called 'shop': say which, as in repository: shop" in found[0]
    apply("triggers: [{name: shop, after: {repository: shop}}]")
    assert EndSource.objects.get(trigger__name="shop").of.kind == "repository"


def test_an_inline_script_is_told_its_own_lines(apply: Apply) -> None:
    found = problems(apply, "triggers:\n  - name: a\n    build_script: |\n      steps:\n        - shel: ls\n")
    assert found[0].startswith("3:19: triggers[0].build_script: in the script, line 2, column 5: unknown step")


def test_a_person_is_protected_while_triggers_act_as_him(apply: Apply) -> None:
    apply(TRIGGERS)
    assert User.objects.filter(username="auto").exists()
    found = problems(apply, "users: [{name: alice}]", remove=True)
    assert any("the user 'auto' is not in the file but still in use by" in line for line in found)
