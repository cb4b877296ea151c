"""`manage.py sesam` as scripts use it: by its words, its JSON and its exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import execute_from_command_line

from apps.access.levels import Level
from apps.access.models import Freeze
from apps.runs import starting
from apps.runs.follow import follow
from apps.runs.models import Run
from apps.sesam.models import Node, SecretStore, StoredSecret, Sync
from tests.sesam.engine import METADATA, MakeSetting, Setting, carried_out, pipe, system
from tests.support.cast import grant
from tests.support.runner import run_now, wait_until

MANAGE = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
Manage = Callable[..., tuple[int, str, str]]


@pytest.fixture
def manage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Manage:
    """Runs a command in this process: status, output, errors. What it waits for is carried out meanwhile."""

    def worked(run_id: int, say: Callable[[str], object]) -> int:
        if Run.objects.filter(pk=run_id, state="queued").exists():
            carried_out(Sync.objects.select_related("run").get(run=run_id))
        return follow(run_id, say)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = 0
        try:
            execute_from_command_line(["manage.py", "sesam", *words])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        said = capsys.readouterr()
        return status, said.out, said.err

    monkeypatch.setattr(starting, "follow", worked)
    return call


@pytest.fixture
def dev(make_dev: MakeSetting, transactional_db: None) -> Setting:
    """A node with a pipe too many, one that differs, and one that is missing."""
    made = make_dev(protected=["watcher"], ignore=["kept"])
    made.hold(pipe("a"), pipe("old"), pipe("kept", name="theirs"), pipe("same"), pipe("watcher"), METADATA)
    made.commit(pipe("a", name="A"), pipe("b"), pipe("kept", name="ours"), pipe("same"), METADATA, subject="Add b")
    return made


def test_plan_exits_5_and_then_0(manage: Manage, dev: Setting) -> None:
    status, out, err = manage("plan", "dev")
    assert (status, err) == (5, "")
    assert "Add b" in out
    assert "1 new, 1 changed, 1 removed, 2 unchanged, 1 ignored, 1 protected\n  + b\n  ~ a\n  - old\n" in out
    assert "old" in dev.fake.entities
    assert manage("sync", "dev", "--follow")[0] == 0
    status, out, _ = manage("plan", "dev")
    assert (status, out.splitlines()[-1]) == (0, "In sync: 4 unchanged, 1 ignored, 1 protected.")


def test_plan_as_json_has_what_scripts_need(manage: Manage, dev: Setting) -> None:
    status, out, _ = manage("plan", "dev", "--json")
    found = json.loads(out)
    assert status == 5
    assert {name: found[name] for name in ("new", "changed", "removed", "unchanged", "ignored", "protected")} == {
        "new": ["b"],
        "changed": ["a"],
        "removed": ["old"],
        "unchanged": ["node", "same"],
        "ignored": ["kept"],
        "protected": ["watcher"],
    }
    assert (found["missing_variables"], found["missing_secrets"]) == ({}, {})
    assert (found["node"], found["commit"], found["in_sync"]) == ("dev", dev.repo.shas[-1], False)


def test_plan_tells_missing_names_and_bad_files(manage: Manage, dev: Setting) -> None:
    Node.objects.update(verify=["variables"], variables_files=["variables.json"])
    dev.commit(pipe("a", url="$ENV(crm-url)"), METADATA, files={"conf/variables.json": "{}"})
    found = json.loads(manage("plan", "dev", "--json")[1])
    assert found["missing_variables"] == {"crm-url": ["conf/pipes/a.conf.json"]}
    assert "missing variable crm-url: conf/pipes/a.conf.json" in manage("plan", "dev")[1]
    dev.repo.commit({"conf/pipes/broken.conf.json": "{\n  oh no"})
    status, out, err = manage("plan", "dev")
    assert status == 1
    assert "conf/pipes/broken.conf.json:2" in out
    assert "Run #" in err
    found = json.loads(manage("plan", "dev", "--json")[1])
    assert found["problems"][0]["line"] == 2
    assert found["new"] == []


def test_dry_run_is_a_plan(manage: Manage, dev: Setting) -> None:
    status, out, _ = manage("sync", "dev", "--dry-run", "--json")
    assert (status, json.loads(out)["new"]) == (5, ["b"])
    assert "old" in dev.fake.entities
    status, _, err = manage("sync", "dev", "--dry-run", "--confirm", "all", "--when-open")
    assert status == 2
    assert "--confirm, --when-open: has no meaning for a plan" in err


def test_plan_of_another_ref(manage: Manage, dev: Setting) -> None:
    first = dev.repo.shas[0]
    dev.commit(METADATA, subject="Remove all")
    status, out, _ = manage("plan", "dev", "--ref", first[:12])
    assert status == 5
    assert first[:10] in out


def test_sync_without_following_tells_the_run(manage: Manage, dev: Setting) -> None:
    status, out, _ = manage("sync", "dev", "--json")
    assert (status, json.loads(out)["state"]) == (0, "queued")
    status, _, err = manage("sync", "dev")
    assert status == 3
    assert f"#{json.loads(out)['run']}" in err


def test_sync_asks_before_it_removes_much_and_takes_the_answer(manage: Manage, dev: Setting) -> None:
    Node.objects.update(removal_limit=1, removal_share=0)
    dev.hold(*(pipe(name) for name in ("a", "old", "same", "more", "kept", "watcher")), METADATA)
    dev.commit(pipe("b"), pipe("more"), METADATA)
    status, out, err = manage("sync", "dev", "--follow")
    assert status == 1, out
    assert "old" in dev.fake.entities
    assert "→ --confirm removals=3" in err
    assert "--confirm removals=3" in manage("status", "dev")[1]
    assert manage("sync", "dev", "--follow", "--confirm", "removals=2")[0] == 1
    assert "old" in dev.fake.entities
    assert manage("sync", "dev", "--follow", "--confirm", "removals=3")[0] == 0
    assert set(dev.fake.entities) == {"b", "more", "kept", "watcher", "node"}


def test_confirm_all_plans_first_and_says_what_it_confirms(manage: Manage, dev: Setting) -> None:
    Node.objects.update(removal_limit=0, removal_share=0)
    dev.commit(pipe("b"))
    status, out, _ = manage("sync", "dev", "--follow", "--confirm", "all")
    assert status == 0, out
    assert out.index("To be confirmed:") < out.index("Run #")
    assert "would be removed" in out
    assert Sync.objects.get(action="sync").confirmed == {"everything": 4, "metadata": 1}
    assert set(dev.fake.entities) == {"b", "kept", "watcher"}


def test_restore_goes_back_pauses_and_resume_ends_it(manage: Manage, dev: Setting) -> None:
    before = dict(dev.fake.entities)
    assert manage("restore", "dev")[0] == 2
    manage("sync", "dev", "--follow")
    status, out, err = manage("restore", "dev", "--follow")
    assert (status, err) == (0, ""), out
    assert dev.fake.entities == before
    found = json.loads(manage("status", "dev", "--json")[1])
    assert found["paused"].startswith("Restored to what it had")
    assert [one["entities"] for one in found["snapshots"]] == [6, 6]
    assert "paused: Restored" in manage("status", "dev")[1]
    assert manage("resume", "dev")[1] == "dev: automatic applying goes on.\n"
    assert manage("pause", "dev", "--reason", "Migrating")[1] == "dev: automatic applying is paused.\n"
    assert json.loads(manage("status", "--json")[1])[0]["paused"] == "Migrating"
    status, _, err = manage("restore", "dev", "--snapshot", "999999")
    assert status == 2
    assert "does not have the snapshot 999999; there are:" in err


def test_restore_dry_run_shows_what_would_come_back(manage: Manage, dev: Setting) -> None:
    manage("sync", "dev", "--follow")
    before, runs = dict(dev.fake.entities), Run.objects.count()
    status, out, err = manage("restore", "dev", "--dry-run")
    assert (status, err) == (5, "")
    first, counts, *lines = out.splitlines()
    assert first.startswith("dev: from what run #")
    assert counts.split(",")[0] == f"{sum(line.startswith('  + ') for line in lines)} new"
    assert "  + old" in lines
    found = json.loads(manage("restore", "dev", "--dry-run", "--json")[1])
    assert "old" in found["new"]
    assert found["counts"]["new"] == len(found["new"])
    assert manage("restore", "dev", "--dry-run", "--confirm", "all")[0] == 2
    assert (dev.fake.entities, Run.objects.count()) == (before, runs)
    dev.node.refresh_from_db()
    assert dev.node.auto_paused_at is None
    manage("restore", "dev", "--follow")
    number = str(found["snapshot"])
    assert manage("restore", "dev", "--dry-run", "--snapshot", number)[1].endswith("Nothing would change.\n")
    Sync.objects.update(before=None)
    status, _, err = manage("restore", "dev", "--dry-run")
    assert status == 2
    assert "is not known" in err


def test_restore_confirms_what_its_last_attempt_asked(manage: Manage, dev: Setting) -> None:
    manage("sync", "dev", "--follow")
    dev.hold(*(pipe(f"new{number}") for number in range(20)), METADATA)
    status, _, err = manage("restore", "dev", "--follow")
    assert status == 1
    assert "→ --confirm" in err
    status, out, _ = manage("restore", "dev", "--follow", "--confirm", "all")
    assert status == 0, out
    assert "To be confirmed:" in out
    assert "old" in dev.fake.entities


def test_status_tells_all_and_one(manage: Manage, dev: Setting) -> None:
    Node.objects.create(name="other", url="http://other.example/api", jwt="x", enabled=False, interval=None)
    status, out, _ = manage("status")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["dev", "other"]
    out = manage("status", "other")[1]
    assert "follows      nothing" in out
    assert "next never by itself" in out
    assert "snapshots    none" in out
    one, two = json.loads(manage("status", "--json")[1])
    assert (one["repository"], one["branch"], two["repository"], two["next_check"]) == ("conf", "main", None, None)


def test_verify_asks_git_alone(manage: Manage, dev: Setting) -> None:
    dev.fake.stop()
    status, out, _ = manage("verify", "dev")
    assert status == 0, out
    assert "Run #" in out
    dev.repo.commit({"conf/pipes/x.conf.json": "{"})
    status, out, _ = manage("verify", "dev", "--json")
    found = json.loads(out)
    assert (status, found["problems"][0]["file"]) == (1, "conf/pipes/x.conf.json")
    assert "conf/pipes/x.conf.json:1" in manage("verify", "dev")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "dve"), "Did you mean “dev”?"),
        (("sync", "dev", "--as", "nobody"), "There is no user called “nobody”."),
        (("sync", "dev", "--ref", "a..b"), "cannot be a branch"),
        (("sync", "dev", "--confirm", "removals"), "is neither 'all' nor KIND=NUMBER"),
        (("sync", "dev", "--confirm", "romevals=3"), "There is no question 'romevals'"),
        (("sync", "dev", "--confirm", "removals=-1"), "is neither 'all' nor KIND=NUMBER"),
        (("verify",), "name a node, or a folder with --path"),
        (("pause", "dev"), "--reason"),
        (("dance",), "invalid choice"),
        ((), "required: ACT"),
        (("import-env", "/nowhere/at/all"), "cannot be read"),
    ],
)
def test_bad_usage_exits_2(manage: Manage, dev: Setting, words: tuple[str, ...], said: str) -> None:
    status, _, err = manage(*words)
    assert status == 2, err
    assert said in err


@pytest.mark.database
def test_rights_and_freezes_exit_3_with_every_reason(
    manage: Manage, dev: Setting, owner: User, teammate: User, outsider: User
) -> None:
    grant(teammate, dev.node, Level.VIEW)
    status, _, err = manage("sync", "dev", "--as", teammate.username)
    assert status == 3
    assert "lacks the right “sync_in_hours” on dev" in err
    assert manage("plan", "dev", "--as", teammate.username)[0] == 3
    assert manage("status", "--as", teammate.username)[1].startswith("dev")
    assert manage("status", "--as", outsider.username)[1] == "There are no nodes that may be seen.\n"
    assert manage("plan", "dev", "--as", outsider.username)[0] == 2
    grant(teammate, dev.node, Level.ACT)
    Freeze.objects.create(subject=dev.node.subject, reason="Year end", starts_at="2020-01-01T00:00:00Z")
    status, _, err = manage("sync", "dev", "--as", teammate.username)
    assert status == 3
    assert "Year end" in err
    assert manage("plan", "dev", "--as", teammate.username)[0] == 5
    assert manage("sync", "dev", "--follow", "--override", "incident 42")[0] == 0


def test_resend_secrets_is_a_sync_that_sends(manage: Manage, dev: Setting) -> None:
    store = SecretStore.objects.create(name="own", kind="panel")
    StoredSecret.objects.create(store=store, name="key", value="quiet-word")
    Node.objects.update(secret_store=store, upload=["secrets"])
    dev.commit(system("s", password="$SECRET(key)"), pipe("a"), METADATA)
    manage("sync", "dev", "--follow")
    assert dev.fake.secrets == {"key": "quiet-word"}
    StoredSecret.objects.get().delete()
    StoredSecret.objects.create(store=store, name="key", value="quieter-word")
    assert manage("plan", "dev")[0] == 0
    status, out, err = manage("sync", "dev", "--follow", "--resend-secrets")
    assert status == 0, out + err
    assert dev.fake.secrets == {"key": "quieter-word"}
    assert "quiet" not in out + err


def test_a_real_run_is_followed_to_its_end(dev: Setting) -> None:
    before = Run.objects.count()
    command = subprocess.Popen(
        [*MANAGE, "sesam", "sync", "dev", "--follow"],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: Run.objects.count() > before, 60)
    run_now(Run.objects.latest("pk"))
    out, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, ""), out
    assert "Removed: 1 (old)" in out
    assert "old" not in dev.fake.entities


def offline(tmp_path: Path, *words: str) -> tuple[int, str, str]:
    """The command where no database answers, and the panel was never used: status, output, errors."""
    env: dict[str, Any] = {
        name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYPANEL_", "DJANGO_"))
    }
    env["DEPLOYPANEL_DATABASE_URL"] = "postgres://nobody:no@127.0.0.1:1/none"
    env["DEPLOYPANEL_DATA"] = str(tmp_path / "data")
    argv = [*MANAGE, "sesam", *words]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_verify_a_folder_without_a_database(tmp_path: Path) -> None:
    for name, text in FOLDER.items():
        file = tmp_path / "repo" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    status, out, err = offline(tmp_path, "verify", "--path", "repo", "--environment", "ci")
    assert (status, out, err) == (0, "2 entities, 1 secret used: sound.\n", "")
    (tmp_path / "repo/node/variables/variables-prod.json").write_text("{}")
    (tmp_path / "repo/node/pipes/b.conf.json").write_text("{\n oh no")
    status, out, err = offline(tmp_path, "verify", "--path", "repo", "--environment", "ci", "--json")
    found = json.loads(out)
    assert (status, err, found["sound"]) == (1, "", False)
    assert found["missing_variables"] == {"crm-url": ["node/systems/crm.conf.json"]}
    assert found["secrets_used"] == {"crm-token": ["node/systems/crm.conf.json"]}
    assert found["problems"][0]["file"] == "node/pipes/b.conf.json"
    status, out, _ = offline(tmp_path, "verify", "--path", "repo", "--environment", "test")
    assert "node/pipes/b.conf.json:2" in out
    assert (status, out.splitlines()[-1]) == (1, "1 entity, 1 secret used: 1 error, 0 missing variables.")
    assert not list((tmp_path / "data").glob("*.sqlite3"))


FOLDER = {
    "node/pipes/b.conf.json": json.dumps(pipe("b")),
    "node/systems/crm.conf.json": json.dumps(
        system("crm", url_pattern="$ENV(crm-url)", jwt_token="$SECRET(crm-token)")
    ),
    "node/test-env.json": '{"crm-url": "http://localhost"}',
    "node/variables/variables-test.json": '{"crm-url": "https://test.example"}',
    "node/variables/variables-prod.json": '{"crm-url": "https://prod.example"}',
    **{
        f"node/deployment/whitelist-{name}.txt": "pipes/b.conf.json\nsystems/crm.conf.json\n"
        for name in ("master", "test")
    },
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--path", "/nowhere/at/all"), "is no folder"),
        (("dev", "--path", "."), "belong to a node"),
        (("--path", ".", "--environment", "live"), "invalid choice"),
    ],
)
def test_verify_a_folder_refuses_what_makes_no_sense(manage: Manage, words: tuple[str, ...], said: str) -> None:
    status, _, err = manage("verify", *words)
    assert (status, said in err) == (2, True)


def test_import_env_prints_yaml_without_a_database(tmp_path: Path) -> None:
    (tmp_path / "old.env").write_text("GIT_REPO=git@git.example:a/b.git\nJWT=quiet\nMYSTERY=1\n")
    status, out, err = offline(tmp_path, "import-env", "old.env", "--name", "edge")
    assert (status, err) == (0, "")
    assert "name: edge" in out
    assert "#   - MYSTERY" in out
    assert "quiet" not in out
    (tmp_path / "old.env").write_text("what is this")
    status, _, err = offline(tmp_path, "import-env", "old.env")
    assert (status, err) == (2, "old.env:1: NAME=VALUE is needed here.\n")
