"""The whole story against a real panel and real hosts: sign in, deploy, watch the log, stop, roll back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Surfer
from tests.browser.test_pages import LOOKS, look_name
from tests.support.gitrepo import GitRepo
from tests.support.panel import PASSWORD, Panel
from tests.support.sshd import Fleet, PrivateHost

pytestmark = [pytest.mark.browser, pytest.mark.panel]

IN_THE_DARK = {"start", "control", "run", "runs", "repository", "host", "grants"}
HELLO = """#!/bin/sh
echo "$2: switched to $3 in $1"
for page in catalogue cart checkout account search voucher; do
  printf '\\033[32mok\\033[0m   warmed %s on %s in %s ms\\n' "$page" "$2" "$((20 + ${#page} * 7))"
  sleep 0.25
done
echo "$2: no price list for Norway yet" >&2
echo "$2 serves $3"
"""
SLOW = """#!/bin/sh
echo "$2: this takes its time"
sleep 300
"""
DECLARATION = """
ssh_keys: [{{name: fleet, private_key_file: {key}}}]
hosts:
{hosts}
clusters: [{{name: paris, hosts: [web1, web2, web3]}}]
repositories: [{{name: shop, url: "{url}"}}]
environments:
  - {{repository: shop, name: prod, path: {disk}/srv/shop, method: symlink, clusters: [paris], stop_grace: 1}}
  - {{repository: shop, name: staging, path: {disk}/srv/staging, method: inplace, clusters: [paris]}}
"""


@pytest.fixture
def shop(git_repo: Callable[..., GitRepo]) -> GitRepo:
    repo = git_repo("shop")
    repo.commit({"index.html": "one\n", "deploy.sh": HELLO}, "Open the shop")
    repo.commit({f"pages/{number}.html": "<p>\n" for number in range(40)}, "Add the catalogue's pages")
    return repo


@pytest.fixture
def fleet(sshd_fleet: Callable[..., Fleet]) -> Fleet:
    return sshd_fleet(3)


@pytest.fixture
def ready(panel: Panel, fleet: Fleet, shop: GitRepo, tmp_path: Path) -> Iterator[Panel]:
    """A panel that runs and knows the fleet and the shop."""
    key = tmp_path / "fleet_key"
    key.write_text(fleet.private_key)
    key.chmod(0o600)
    hosts = "\n".join(
        f"  - {{name: {host.name}, address: 127.0.0.1, port: {host.port}, user: {fleet.user}, ssh_key: fleet, "
        f'host_key: "{host.host_key}"}}'
        for host in fleet
    )
    file = tmp_path / "panel.yaml"
    with tempfile.TemporaryDirectory(prefix="fleet-") as short:  # long paths make poor pictures
        disk = Path(short) / "disk"
        disk.symlink_to(fleet.disk.readlink())
        file.write_text(DECLARATION.format(key=key, hosts=hosts, url=shop.url, disk=disk))
        panel.manage("apply", str(file))
        panel.manage("repos", "fetch", "shop")
        yield panel


def state_becomes(page: Any, word: str, limit: float = 90) -> None:
    page.wait_for_function(
        "word => document.getElementById('run-state').textContent.trim() === word", arg=word, timeout=limit * 1000
    )


def log_says(page: Any, words: str, limit: float = 90) -> None:
    page.wait_for_function(
        "words => document.getElementById('run-rows').textContent.includes(words)", arg=words, timeout=limit * 1000
    )


def served(host: PrivateHost) -> str:
    """What the host serves now, by the release that its link leads to (its path is the host's own)."""
    release = (host.root / "srv" / "shop").readlink()
    return (host.root / "srv" / release.parent.name / release.name / "index.html").read_text()


def control(surfer: Surfer, name: str = "prod") -> Any:
    """From the start page to an environment, as one clicks."""
    page = surfer.go("/admin/")
    page.click(f".dp-tile-name:has-text('{name}')")
    page.wait_for_selector("#deploy-form")
    return page


def test_deploy_watch_stop_and_roll_back(
    ready: Panel, fleet: Fleet, shop: GitRepo, surf: Callable[..., Surfer]
) -> None:
    surfer = surf(ready.url)
    surfer.sign_in("admin", PASSWORD)

    # Deploy the newest commit, by hand, and watch its log arrive.
    page = control(surfer)
    page.wait_for_selector(".dp-commit:has-text('Add the catalogue')")
    page.click(".dp-commit:has-text('Add the catalogue')")
    page.wait_for_selector("#between summary:has-text('first deployment')")
    page.click("#control-gate .dp-button-primary")
    page.wait_for_selector("#deploy-dialog[open] dd:has-text('Add the catalogue')")
    surfer.shoot("deploy-dialog-light", full=False)
    page.click("#deploy-dialog [data-yes]")
    page.wait_for_url("**/admin/runs/run/*/change/")
    log_says(page, "warmed checkout on web")
    surfer.shoot("run", full=False)
    state_becomes(page, "Succeeded")
    for host in fleet:
        assert served(host) == "one\n"
        log_says(page, f"{host.name} serves {shop.shas[-1]}")
    surfer.shoot("run-light")
    assert surfer.faults() == []

    # A commit that takes its time: stop it.
    slow = shop.commit({"index.html": "two\n", "deploy.sh": SLOW}, "Think for a while")
    page = control(surfer)
    page.click("#control-gate .dp-button-primary")  # the newest on the branch, which the run itself fetches
    page.click("#deploy-dialog [data-yes]")
    page.wait_for_url("**/admin/runs/run/*/change/")
    log_says(page, "this takes its time")
    page.click("#run-stop button")
    page.click("#run-stop-dialog [data-yes]")
    state_becomes(page, "Stopped")
    surfer.shoot("run-stopped-light")

    # Back to the release before, which the hosts still have.
    page = control(surfer)
    page.click("#control-fleet button")
    page.wait_for_selector(".dp-hosts li")
    page.wait_for_selector("#control-releases .dp-release button", timeout=60_000)
    back = page.locator("#control-releases .dp-release").first
    back.locator("button").click()
    page.wait_for_selector("#rollback-dialog[open]")
    surfer.shoot("rollback-dialog-light", full=False)
    page.click("#rollback-dialog [data-yes]")
    page.wait_for_url("**/admin/runs/run/*/change/")
    state_becomes(page, "Succeeded")
    assert {served(host) for host in fleet} == {"one\n"}
    assert slow[:8] not in page.text_content("#run-summary")


def test_every_page_of_a_deployed_panel(ready: Panel, surf: Callable[..., Surfer]) -> None:
    """Light, dark and phone, after a deployment: nothing overflows, every field has a name, all text can be read."""
    ready.manage("deploy", "shop/staging", "--follow")
    numbers = ready.python(
        "from apps.environments.models import *; from apps.runs.models import Run;"
        "e = Environment.objects.get(path='shop/staging');"
        "print(e.pk, e.repository_id, Host.objects.first().pk, Run.objects.first().pk, Cluster.objects.first().pk)"
    )
    environment, repository, host, run, cluster = numbers.split()
    pages = {
        "start-real": "/admin/",
        "control-real": f"/admin/environments/environment/{environment}/control/",
        "grants": f"/admin/environments/environment/{environment}/grants/",
        "repository": f"/admin/repos/repository/{repository}/page/",
        "repository-form": f"/admin/repos/repository/{repository}/change/",
        "repositories": "/admin/repos/repository/",
        "host": f"/admin/environments/host/{host}/page/",
        "host-form": f"/admin/environments/host/{host}/change/",
        "hosts": "/admin/environments/host/",
        "cluster": f"/admin/environments/cluster/{cluster}/change/",
        "run-done": f"/admin/runs/run/{run}/change/",
        "runs": "/admin/runs/run/",
        "freeze": "/admin/access/freeze/add/",
        "hours": "/admin/access/businesshours/add/",
        "audit": "/admin/access/auditentry/",
        "deliveries": "/admin/triggers/delivery/",
    }
    wrong = []
    for look in LOOKS[:3]:
        surfer = surf(ready.url, **look)
        surfer.sign_in("admin", PASSWORD)
        for name, address in pages.items():
            if look.get("dark") and name.partition("-")[0] not in IN_THE_DARK:
                continue
            surfer.go(address)
            surfer.settle()
            surfer.shoot(f"{name}-{look_name(look)}")
            wrong += [f"{name} ({look_name(look)}): {fault}" for fault in surfer.faults()]
    assert not wrong, "\n".join(wrong)


def test_login_page_and_errors_of_the_real_panel(panel: Panel, surf: Callable[..., Surfer]) -> None:
    for look in LOOKS[:3]:
        surfer = surf(panel.url, **look)
        page = surfer.go("/")
        assert page.url.endswith("/admin/login/?next=/admin/")
        surfer.shoot(f"login-{look_name(look)}")
        page.fill("#id_username", "admin")
        page.fill("#id_password", "wrong")
        page.click("#login-form button[type=submit]")
        page.wait_for_selector("text=Please enter the correct username")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_without_javascript_one_can_deploy(ready: Panel, surf: Callable[..., Surfer], shop: GitRepo) -> None:
    surfer = surf(ready.url, script=False)
    surfer.sign_in("admin", PASSWORD)
    page = surfer.go("/admin/")
    page.click(".dp-tile-name:has-text('staging')")
    page.fill("#pick-ref", shop.shas[0][:10])
    page.click("#control-gate .dp-button-primary")
    page.wait_for_selector("text=Deploy to shop/staging?")
    assert shop.shas[0][:8] in page.content()
    page.click("form .dp-button-primary")
    page.wait_for_url("**/admin/runs/run/*/change/")
