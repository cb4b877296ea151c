"""What a host's answers mean, as tables. No network."""

from __future__ import annotations

import pytest

from apps.environments import errors
from apps.environments.host_answers import answers, folders_of, judge, size
from apps.environments.host_report import HostReport, Result, Target
from apps.environments.host_trouble import trouble_checks
from apps.environments.models import Host

NOW = 1_800_000_000.0
PLACE = Target(environment="shop/prod", path="/srv/shop", symlink=False, releases="")
LINK = Target(environment="shop/prod", path="/srv/shop", symlink=True, releases="/srv/shop_releases")
GOOD = {
    "now": str(int(NOW)),
    "user": "deploy",
    "rsync": "rsync  version 3.2.7  protocol version 31",
    "python": "Python 3.11.2",
    "0.near": "/srv/shop",
    "0.exists": "yes",
    "0.writable": "yes",
    "0.space": "1000000 500000 /",
    "0.inodes": "1000 900 /",
    "end": "yes",
}


def checks(said: dict[str, str], target: Target = PLACE) -> dict[str, tuple[Result, str, str]]:
    found = judge(said, user="deploy", targets=[target], now=NOW)
    return {check.name: (check.result, check.detail, check.remedy) for check in found}


def test_good_host_is_ready() -> None:
    assert {name: result for name, (result, _, _) in checks(GOOD).items()} == dict.fromkeys(
        ["rsync", "target", "free space", "free inodes", "Python", "clock"], Result.OK
    )


@pytest.mark.parametrize(
    ("change", "name", "result", "words"),
    [
        ({"rsync": ""}, "rsync", Result.FAILED, "not installed"),
        ({"python": ""}, "Python", Result.WARNING, "no Python"),
        ({"now": str(int(NOW) + 7200)}, "clock", Result.WARNING, "2 h ahead of"),
        ({"now": str(int(NOW) - 90)}, "clock", Result.WARNING, "90 s behind"),
        ({"now": "soon"}, "clock", Result.WARNING, "did not say"),
        ({"0.writable": "", "0.refused": "Permission denied"}, "target", Result.FAILED, "cannot write into /srv/shop"),
        ({"0.writable": "", "0.near": "/srv", "0.exists": ""}, "target", Result.FAILED, "cannot make it in /srv"),
        ({"0.writable": "", "0.near": "/srv", "0.kind": "file"}, "target", Result.FAILED, "/srv is a file"),
        ({"0.near": "/srv", "0.exists": ""}, "target", Result.OK, "the first deployment makes it"),
        ({"0.space": "1000000000 30000000 /"}, "free space", Result.FAILED, "(3.0 %)"),
        ({"0.space": "1000000000 80000000 /"}, "free space", Result.WARNING, "(8.0 %)"),
        ({"0.space": "200000 90000 /"}, "free space", Result.FAILED, "87.9 MiB free"),
        ({"0.space": "nonsense"}, "free space", Result.WARNING, "did not say"),
        ({"0.inodes": "1000 10 /"}, "free inodes", Result.FAILED, "10 free of 1,000"),
        ({"0.inodes": "0 0 /"}, "free space", Result.OK, "free of"),
    ],
)
def test_answer_is_judged(change: dict[str, str], name: str, result: Result, words: str) -> None:
    found = checks(GOOD | change)[name]
    assert found[0] is result, found
    assert words in found[1]
    assert found[0] is Result.OK or found[2] or words == "did not say"


def test_symlink_needs_the_folder_around_it_and_that_of_the_releases() -> None:
    assert folders_of([LINK]) == ["/srv/shop", "/srv", "/srv/shop_releases"]
    said = GOOD | {"0.kind": "link", "0.writable": "", "1.near": "/srv", "1.writable": "yes", "2.writable": "yes"}
    assert checks(said, LINK)["target"][0] is Result.OK
    result, detail, _ = checks(said | {"1.writable": "", "1.refused": "Read-only file system"}, LINK)["target"]
    assert result is Result.FAILED
    assert "/srv: Read-only file system" in detail


def test_symlink_over_a_folder_of_its_own_is_named_before_mv_fails() -> None:
    result, detail, remedy = checks(GOOD | {"1.writable": "yes", "2.writable": "yes"}, LINK)["target"]
    assert result is Result.FAILED
    assert "a folder of its own" in detail
    assert "mv /srv/shop /srv/shop.old" in remedy


def test_answers_ignore_what_is_no_answer() -> None:
    assert answers("Welcome!\nnow\t12\n\nend\tyes\n") == {"now": "12", "end": "yes"}


@pytest.mark.parametrize(
    ("error", "results"),
    [
        (errors.HostRefused("web1", "Nothing listens."), ["failed", "skipped", "skipped"]),
        (errors.HostSilent("web1", "No answer."), ["failed", "skipped", "skipped"]),
        (errors.HostKeyMissing("web1", "None pinned."), ["skipped", "failed", "skipped"]),
        (errors.HostKeyChanged("web1", "SHA256:a", "SHA256:b"), ["ok", "failed", "skipped"]),
        (errors.HostLoginFailed("web1", "No."), ["ok", "ok", "failed"]),
        (errors.KeyUnusable("web1", "Broken."), ["skipped", "skipped", "failed"]),
    ],
)
def test_trouble_proves_what_comes_before_it(error: errors.HostError, results: list[str]) -> None:
    found = trouble_checks(Host(name="web1"), error)
    assert [check.name for check in found] == ["reachable", "host key", "log-in"]
    assert [check.result for check in found] == results


def test_trouble_of_the_jump_host_is_named_as_such() -> None:
    host = Host(name="web1", jump_host=Host(name="gate"))
    found = trouble_checks(host, errors.HostRefused("gate", "Nothing listens."))
    assert (found[0].name, found[0].result) == ("jump host", "failed")
    assert {check.result for check in found[1:]} == {"skipped"}


def test_summary_names_what_failed() -> None:
    report = HostReport(host="web1", checks=judge(GOOD | {"rsync": ""}, user="deploy", targets=[], now=NOW))
    assert report.summary() == "Failed: rsync."
    assert not report.ok
    assert report.as_json()["checks"][0]["result"] == "failed"


@pytest.mark.parametrize(
    ("count", "words"),
    [(12, "12 bytes"), (2048, "2 KiB"), (5_500_000, "5.2 MiB"), (2 * 1024**3, "2.0 GiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_size_is_read_by_people(count: int, words: str) -> None:
    assert size(count) == words
