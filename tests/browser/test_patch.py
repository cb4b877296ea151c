"""The lines of a file, opened in the comparison by a press, and on a page of their own without scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from tests.browser.conftest import Surfer
from tests.support.gitrepo import GitRepo

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FOLDER = "a/rather/deep/folder/with/a/name/that/no/phone/shows/whole"


@pytest.fixture
def shop(git_repo: Callable[..., GitRepo]) -> Repository:
    repo = git_repo("shop")
    body = "".join(f"    line(number={number}, text='{'long ' * 20}')\n" for number in range(60))
    repo.commit({f"{FOLDER}/till.py": body, "logo.png": b"\x00", "notes.txt": "1\n"}, "Open the shop")
    changed = body.replace("number=7,", "number=7000,").replace("number=40,", "number=41,")
    repo.commit({f"{FOLDER}/till.py": changed, "logo.png": b"\x00\x01", "notes.txt": "1\r\n2\n"}, "Change prices")
    repo.tag("v1", sha=repo.shas[0])
    repository = repo.declare()
    repository_fetch(repository=repository)
    return repository


@pytest.mark.parametrize("look", [{}, {"phone": True, "dark": True}], ids=["light", "phone-dark"])
def test_lines_open_in_place(
    shop: Repository,
    owner: User,
    surf: Callable[..., Surfer],
    live_server: object,
    look: dict[str, bool],
) -> None:
    surfer = surf(live_server.url, **look)  # type: ignore[attr-defined]
    surfer.enter("owner")
    page = surfer.go(f"/admin/repos/repository/{shop.pk}/compare/?old=v1&new=main")
    for number in range(3):
        page.locator(".repos-file > summary").nth(number).click()
    page.wait_for_function("document.querySelectorAll('.repos-patch').length === 2")
    page.wait_for_function("document.querySelector('.repos-files').textContent.includes('A binary file')")
    assert "+    line(number=7000," in page.inner_text(".repos-patch >> nth=0")
    surfer.shoot(f"patch-{'phone-dark' if look else 'light'}")
    assert surfer.faults() == []
    surfer.go(f"/admin/repos/repository/{shop.pk}/compare/?old=v1&new=main&file=notes.txt")
    assert "+1^M" in page.inner_text("#lines")
    assert surfer.faults() == []
