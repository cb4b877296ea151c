"""rsync's options, command line and endings, as tables; the options also against a real rsync."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from apps.access.errors import InputError
from apps.environments.rsync import COUNT_FORMAT, Changes, Copy, changes, exclusion, failure, options_parsed

ALLOWED = {
    "": [],
    "-az --delete": ["-az", "--delete"],
    "-rlptz  --chmod=Du=rwx,go=rx": ["-rlptz", "--chmod=Du=rwx,go=rx"],
    "--exclude '*.log files' --exclude=/tmp": ["--exclude=*.log files", "--exclude=/tmp"],
    "-azf '- *.map'": ["-az", "--filter=- *.map"],
    "--filter='P /cache'": ["--filter=P /cache"],
    "-B4096": ["--block-size=4096"],
    "--no-owner --no-group": ["--no-owner", "--no-group"],
    "--bwlimit 200": ["--bwlimit=200"],
}


@pytest.mark.parametrize("text", ALLOWED)
def test_options_allowed(text: str) -> None:
    assert options_parsed(text) == ALLOWED[text]


REFUSED = [
    "-e 'sh -c id'",
    "-e/tmp/evil",
    "-aze 'ssh -o ProxyCommand=id'",
    "-azevil",
    "--rsh=id",
    "--rsh id",
    "--rs=id",
    "--rsync-path=/tmp/evil",
    "--rsync-pat=x",
    "-M--log-file=/etc/x",
    "--remote-option=--log-file=/etc/x",
    "--daemon",
    "--config=/etc/x",
    "--log-file=/etc/cron.d/x",
    "--write-batch=/tmp/x",
    "--only-write-batch=/tmp/x",
    "--read-batch=/tmp/x",
    "--files-from=/etc/passwd",
    "--exclude-from=/etc/passwd",
    "--include-from=/etc/passwd",
    "--password-file=/etc/x",
    "--filter='merge /etc/passwd'",
    "-f '. /etc/passwd'",
    "-f ': .rules'",
    "-azC",
    "-F",
    "-L",
    "-aLz",
    "--copy-links",
    "--copy-unsafe-links",
    "--backup-dir=/etc",
    "--temp-dir=/etc",
    "-T /etc",
    "--link-dest=/etc",
    "--dry-run",
    "-n",
    "-R",
    "--remove-source-files",
    "--exclude=!",
    "--inc='!'",
    "/etc/passwd",
    "--",
    "-",
    "host:/etc",
    "--delete=yes",
    "--exclude",
    "--no-such-option",
    "--sender",
    "'unclosed",
    "-az\n--rsh=id",
]


@pytest.mark.parametrize("text", REFUSED)
def test_options_refused(text: str) -> None:
    with pytest.raises(InputError):
        options_parsed(text)


def test_refusal_says_why() -> None:
    with pytest.raises(InputError, match=r"-e \(in -aze\) is refused: it runs programs"):
        options_parsed("-aze sh")


def test_inplace_is_refused_for_releases_that_share_files() -> None:
    assert options_parsed("-a --inplace") == ["-a", "--inplace"]
    with pytest.raises(InputError, match="older releases share"):
        options_parsed("-a --inplace", releases=True)


def test_command_keeps_names_apart_from_options() -> None:
    copy = Copy(
        source="/work folder/tree",
        alias="panel-3",
        folder="/srv/my shop $(x)",
        ssh_config="/tmp/a b/config",
        options=["-az"],
        shared_paths=["up*loads/"],
        link_dest="/srv/old",
    )
    argv = copy.argv("--dry-run")
    assert argv[1] == "--rsh=ssh -F '/tmp/a b/config'"
    assert argv[-3:] == ["--", "/work folder/tree/", "panel-3:/srv/my shop $(x)/"]
    assert argv.index("--exclude=.git_release") < argv.index("-az")
    assert {"--exclude=/up\\*loads", "--link-dest=/srv/old", "--protect-args", "--timeout=60", "--dry-run"} <= set(argv)


def test_exclusion_is_exact(tmp_path: Path) -> None:
    for name in ("a[1]*b", "a1xb"):
        (tmp_path / "from").mkdir(exist_ok=True)
        (tmp_path / "from" / name).write_text(name)
    subprocess.run(["rsync", "-a", exclusion("a[1]*b"), f"{tmp_path}/from/", f"{tmp_path}/to/"], check=True)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["a1xb"]


@pytest.mark.parametrize(
    ("status", "said", "problem"),
    [
        (11, 'rsync: write failed on "/srv/x": No space left on device (28)', "The disk is full."),
        (23, 'rsync: mkstemp "/srv/.x" failed: Read-only file system (30)', "The file system is read-only."),
        (23, 'rsync: mkstemp "/srv/.x" failed: Permission denied (13)', "The remote user may not write there."),
        (127, "bash: line 1: rsync: command not found", "rsync is not installed there."),
        (255, "Timeout, server panel-2 not responding.", "It stopped answering in the middle of the copy."),
        (12, "", "The connection broke in the middle of the copy."),
        (30, "", "It fell silent in the middle of the copy."),
        (255, "", "The SSH connection broke or was refused."),
        (-9, "", "rsync was killed by signal 9."),
        (99, "", "rsync ended with status 99."),
    ],
)
def test_failure_in_words(status: int, said: str, problem: str) -> None:
    found = failure(status, said)
    assert found.problem == problem
    assert found.remedy


def test_changes_are_counted_as_rsync_reports_them(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        (folder / "sub").mkdir(parents=True)
        (folder / "same").write_text("same")
        (folder / "link").symlink_to("same")
    os.utime(old / "link", (1, 1), follow_symlinks=False)
    subprocess.run(["cp", "-p", str(new / "same"), str(old / "same")], check=True)
    (new / "added\n*deleting x").write_text("a")
    (new / "sub/added").symlink_to("x")
    (new / "changed").write_text("new content")
    (old / "changed").write_text("old")
    (old / "gone").write_text("x")
    (old / "sub/gone").write_text("x")
    out = subprocess.run(
        ["rsync", "-a", "--delete", "--dry-run", COUNT_FORMAT, f"{new}/", f"{old}/"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert changes(out) == Changes(added=2, changed=1, deleted=2)
