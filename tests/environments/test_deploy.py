"""Deployments on real hosts: what is on their disks afterwards, and what the panel says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.utils import timezone

from apps.access.errors import Conflict, InputError, Refused
from apps.environments.models import Cluster, Deployment, Environment, Host, HostRelease
from apps.runs.states import RunState
from tests.support.runner import log_text, start_runner, wait_for_state, wait_until
from tests.support.site import Build, cell, explain, script_until


def test_first_deployment_in_place(site: Build) -> None:
    shop = site(2)
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    for number in range(2):
        assert shop.files(number) == {"index.html": "one\n", "css/site.css": "body {}\n"}
        release = shop.release(number)
        assert release is not None
        assert (release.branch, release.commit, release.in_progress) == ("main", shop.repo.shas[0], False)
        assert release.folder == shop.environment.target_path
    assert shop.environment.deployed_commit == shop.repo.shas[0]
    deployment = Deployment.objects.get()
    assert (deployment.state, deployment.commit_subject, deployment.hosts_total) == ("succeeded", "Open the shop", 2)
    assert HostRelease.objects.get(host=shop.hosts[0]).commit == shop.repo.shas[0]
    assert "index.html" in log_text(run, host="web1")


def test_symlink_deployments(site: Build) -> None:
    shop = site(2, method="symlink", keep_releases=2)
    first = shop.deploy()
    assert first.state == RunState.SUCCEEDED, explain(first)
    assert shop.target(0).is_symlink()
    inode = (shop.live(0) / "css/site.css").stat().st_ino
    two = shop.repo.commit({"index.html": "two\n"}, "Sell two")
    second = shop.deploy()
    assert second.state == RunState.SUCCEEDED, explain(second)
    assert shop.files(1)["index.html"] == "two\n"
    name = shop.live(0).name
    assert name.endswith(f"_main_{two[:8]}")
    assert (shop.live(0) / "css/site.css").stat().st_ino == inode  # linked, not copied
    third = shop.deploy()
    assert third.state == RunState.SUCCEEDED, explain(third)
    assert shop.live(0).name in {f"{name}-2", f"{timezone.now():%Y%m%d}_main_{two[:8]}"} - {name}  # around midnight
    assert len(shop.releases(0)) == 2
    assert cell(third, "clean up", "web1").message == "1 old releases deleted"


def test_changed_added_and_deleted_files_in_place(site: Build) -> None:
    shop = site(1)
    shop.deploy()
    (shop.target(0) / "cache").mkdir()
    (shop.target(0) / "cache/page").write_text("made there\n")
    shop.repo.commit({"index.html": "two\n", "css/site.css": None, "new file": "new\n"}, "Sell two")
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert shop.files(0) == {"index.html": "two\n", "new file": "new\n"}
    assert "deleting cache/page" in log_text(run)


def test_no_change_copies_nothing(site: Build) -> None:
    shop = site(1)
    shop.deploy()
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "index.html" not in log_text(run, host="web1").split("rsync '--rsh", 1)[1].split("\n", 1)[1]


def test_scripts_run_with_their_arguments_and_are_removed(site: Build) -> None:
    shop = site(1, method="symlink")
    tell = "#!/bin/sh\necho {name} $* > {file}\necho marker=$DEPLOYPANEL_RUN\n"
    sha = shop.repo.commit(
        {
            "predeploy.sh": tell.format(name="predeploy", file="built"),
            "deploy.sh": tell.format(name="deploy", file="deployed"),
            "tests/run_local_tests.sh": tell.format(name="local", file="tests/locally"),
            "tests/run_tests.sh": tell.format(name="tests", file="tested"),
        },
        "Script it",
    )
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    files = shop.files(0)
    assert files["built"] == f"predeploy prod {sha}\n"
    assert files["tests/locally"].split()[:2] == ["local", "prod"]
    assert files["tests/locally"].split()[3:] == ["main", sha]
    assert files["deployed"] == f"deploy prod web1 {sha}\n"
    assert files["tested"] == f"tests prod web1 main {sha}\n"
    assert "predeploy.sh" not in files
    assert "deploy.sh" not in files
    assert "tests/run_tests.sh" in files
    assert f"marker={run.pk}:" in log_text(run, host="web1")


def test_shared_paths_outlive_releases(site: Build) -> None:
    shop = site(1, method="symlink", shared_paths=["uploads", "config/local.yml"])
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "put the file there" in log_text(run)
    shared = shop.fleet[0].root / "shop_shared"
    (shared / "uploads/photo").write_text("photo")
    (shared / "config/local.yml").write_text("local")
    shop.repo.commit({"index.html": "two\n"})
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert (shop.live(0) / "uploads").readlink() == shop.fleet.disk / "shop_shared/uploads"
    assert (shared / "uploads/photo").read_text() == "photo"
    assert (shared / "config/local.yml").read_text() == "local"


def test_inactive_hosts_are_skipped_with_a_warning(site: Build) -> None:
    shop = site(2)
    Host.objects.filter(name="web2").update(active=False)
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "web2 is inactive" in log_text(run)
    assert shop.release(1) is None


def test_no_active_host_is_refused(site: Build) -> None:
    shop = site(1)
    Host.objects.update(active=False)
    with pytest.raises(Refused, match="All hosts of shop/prod are inactive"):
        shop.request()
    assert not Deployment.objects.exists()


def test_one_host_or_cluster_alone(site: Build) -> None:
    shop = site(2)
    run = shop.deploy(host=shop.hosts[1])
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert (shop.release(0), shop.environment.deployed_commit) == (None, "")
    assert shop.release(1) is not None
    with pytest.raises(InputError, match="does not deploy to the cluster"):
        shop.request(cluster=Cluster.objects.create(name="green"))


def test_a_tag_and_a_commit(site: Build) -> None:
    shop = site(1)
    shop.repo.tag("v1.0")
    shop.repo.commit({"index.html": "two\n"})
    run = shop.deploy(ref="v1.0")
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert shop.files(0)["index.html"] == "one\n"
    run = shop.deploy(ref=shop.repo.shas[1][:10])
    assert run.state == RunState.SUCCEEDED, explain(run)
    release = shop.release(0)
    assert release is not None
    assert (release.branch, release.commit) == ("main", shop.repo.shas[1])


def test_unknown_ref_fails_with_what_is_near(site: Build) -> None:
    shop = site(1)
    run = shop.deploy(ref="mian")
    assert run.state == RunState.FAILED
    assert "Did you mean main?" in run.summary


def test_two_environments_at_once(site: Build, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shop = site(2, method="symlink")
    shop.repo.commit({"predeploy.sh": f"#!/bin/sh\ntouch {tmp_path}/at-work-$1\n" + script_until(both)})
    other = Environment(repository=shop.repository, name="staging", target_path=str(shop.fleet.disk / "staging"))
    other.method = "symlink"
    other.save()
    other.clusters.set(shop.environment.clusters.all())
    runs = [shop.request().run, shop.request(environment=other).run]
    processes = [start_runner(run) for run in runs if run]
    wait_until(lambda: len(list(tmp_path.glob("at-work-*"))) == 2)
    both.touch()
    for process in processes:
        assert process.wait(60) == 0
    for run in runs:
        assert run is not None
        run.refresh_from_db()
        assert run.state == RunState.SUCCEEDED, explain(run)
    assert runs[0].started_at < runs[1].ended_at
    assert runs[1].started_at < runs[0].ended_at
    folders = {deployment.release for deployment in Deployment.objects.all()}
    assert len(folders) == 2  # they share the folder of the releases, and not a release


def test_same_folder_of_the_same_host_is_a_conflict(site: Build, tmp_path: Path) -> None:
    shop = site(1)
    shop.repo.commit({"predeploy.sh": script_until(tmp_path / "refused")})
    other = Environment(repository=shop.repository, name="twin", target_path=shop.environment.target_path)
    other.method = "inplace"
    other.save()
    other.clusters.set(shop.environment.clusters.all())
    first = shop.request().run
    assert first is not None
    process = start_runner(first)
    wait_for_state(first, RunState.RUNNING)
    second = shop.deploy(environment=other)
    assert second.state == RunState.FAILED
    assert f"Run #{first.pk} deploys shop/prod to the same folder" in second.summary
    (tmp_path / "refused").touch()
    assert process.wait(60) == 0


def test_a_second_request_meets_the_first(site: Build) -> None:
    shop = site(1)
    first = shop.request()
    with pytest.raises(Conflict, match=f"Run #{first.run_number}"):
        shop.request()


HOSTILE = ["a;touch${IFS}x", "$(id)", "`id`", "feature/x'y\"z", "--rsh=sh", "ünï—code", "a&b|c>d"]


def test_hostile_branches_and_file_names(site: Build) -> None:
    shop = site(1, method="symlink")
    for branch in HOSTILE[:4]:
        shop.repo.branch(branch, "main")
        shop.repo.commit({b"a\nb 'c' \"d\"": branch, "--help": "x", "$(touch pwned)": "y"}, f"On {branch}")
        run = shop.deploy(ref=branch)
        assert run.state == RunState.SUCCEEDED, explain(run)
        release = shop.release(0)
        assert release is not None
        assert release.branch == branch
        assert (shop.live(0) / "a\nb 'c' \"d\"").read_text() == branch
        assert (shop.live(0) / "$(touch pwned)").exists()
    assert not list(shop.fleet[0].root.rglob("pwned"))


def test_script_that_is_a_link_out_of_the_tree_is_not_run(site: Build, tmp_path: Path) -> None:
    shop = site(1)
    outside = tmp_path / "outside.sh"
    outside.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    outside.chmod(0o755)
    (shop.repo.tree / "predeploy.sh").symlink_to(outside)
    shop.repo.commit()
    run = shop.deploy()
    assert run.state == RunState.FAILED
    assert "link out of the repository's tree" in run.summary
    assert not (tmp_path / "pwned").exists()


def test_target_with_blanks_and_quotes(site: Build) -> None:
    shop = site(1, method="symlink")
    shop.environment.target_path = str(shop.fleet.disk / "my 'shop' $(x)")
    shop.environment.save()
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert (shop.fleet[0].root / "my 'shop' $(x)").is_symlink()


def test_target_that_is_a_folder_is_refused_with_the_remedy(site: Build) -> None:
    shop = site(1, method="symlink")
    shop.target(0).mkdir()
    run = shop.deploy()
    assert run.state == RunState.FAILED
    assert "is a folder of its own" in run.summary
    assert "mv " in run.summary


def test_through_a_jump_host(site: Build) -> None:
    shop = site(2, method="symlink")
    Host.objects.filter(name="web2").update(jump_host=shop.hosts[0], address="localhost")
    run = shop.deploy(host=shop.hosts[1])
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert shop.release(1) is not None


def test_nothing_of_the_key_is_left_or_shown(site: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = site(1)
    shop.repo.commit({"predeploy.sh": "#!/bin/sh\nenv; ls -lR $TMPDIR; exit 0\n"})
    with TemporaryDirectory(dir="/tmp") as own:  # its path is short enough for the agent's socket
        monkeypatch.setenv("TMPDIR", own)
        run = shop.deploy()
        assert run.state == RunState.SUCCEEDED, explain(run)
        assert list(Path(own).iterdir()) == []
    text = log_text(run)
    assert "PRIVATE KEY" not in text
    assert "DEPLOYPANEL_KEY_RING" not in text
    assert "SSH_AUTH_SOCK" not in text


def test_token_of_the_repository_is_masked(site: Build) -> None:
    shop = site(1)
    shop.repository.access_token = "glpat-very-secret"
    shop.repository.save()
    shop.repo.commit({"deploy.sh": "#!/bin/sh\necho using glpat-very-secret\n"})
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "using ********" in log_text(run)
    assert "glpat" not in log_text(run)


def test_servers_that_drop_some_of_many_connections(site: Build) -> None:
    shop = site(4)
    gate = shop.fleet[0]
    gate.stop()
    gate.extra.append("MaxStartups 1:50:3")
    gate.start()
    Host.objects.exclude(name="web1").update(jump_host=shop.hosts[0])
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
