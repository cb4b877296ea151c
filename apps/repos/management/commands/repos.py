"""`manage.py repos list|fetch|log`: the repositories from the shell."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from apps.access import gate
from apps.access.command import PanelCommand
from apps.access.errors import InputError, NotFound
from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.repos import selectors, services
from apps.repos.models import Repository

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from apps.access.actor import Actor
    from apps.repos.git import Commit


class Command(PanelCommand):
    help = "List repositories, fetch one, or show its commits."
    examples = """
        manage.py repos list --json
        manage.py repos fetch shop
        manage.py repos log shop --ref main --limit 5
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="list|fetch|log")
        listing = acts.add_parser("list", help="all repositories")
        fetch = acts.add_parser("fetch", help="bring the mirror up to date, now")
        fetch.add_argument("name", nargs="?", default="")
        fetch.add_argument("--id", type=int, help="by number (used by workers)")
        log = acts.add_parser("log", help="commits of a branch, newest first")
        log.add_argument("name")
        log.add_argument("--ref", default="", help="branch, tag or commit; the main branch if not given")
        log.add_argument("--limit", type=int, default=20)
        log.add_argument("--search", default="", help="text in message, author or commit number")
        for one in (listing, fetch, log):
            self.add_json_argument(one)
            self.add_as_argument(one)

    def work(self, **options: Any) -> None:
        actor = self.actor(options)
        if options["act"] == "list":
            self._list(actor, options["as_json"])
        elif options["act"] == "fetch":
            self._fetch(actor, options)
        else:
            self._log(actor, options)

    def _list(self, actor: Actor, as_json: bool) -> None:
        seen = selectors.repositories_visible(actor.user) if actor.user else Repository.objects.all()
        rows = [
            {
                "id": one.pk,
                "name": one.name,
                "url": one.url,
                "fetched_at": one.fetched_at,
                "error": one.fetch_error,
                "environments": [child.path for child in one.children.order_by("path")],
            }
            for one in seen.order_by("name").prefetch_related("children")
        ]
        if as_json:
            self.print_json(rows)
            return
        for row in rows:
            when = f"{row['fetched_at']:%Y-%m-%d %H:%M}" if row["fetched_at"] else "never fetched"
            self.stdout.write(f"{row['name']}  {row['url']}  {when}{'  ' + row['error'] if row['error'] else ''}")

    def _fetch(self, actor: Actor, options: dict[str, Any]) -> None:
        if options["id"] is not None:
            # The gate was asked by whoever rang: a person at the button, or the repository's own secret.
            services.repository_fetch(repository=Repository.objects.select_related("ssh_key").get(pk=options["id"]))
            return
        repository = self._named(actor, options["name"])
        gate.require(actor=actor, act=gate.Act.ACT, subject=repository, action="fetch")
        done = services.repository_fetch(repository=repository)
        if options["as_json"]:
            self.print_json({"fetched": done.fetched, "changes": [asdict(change) for change in done.changes]})
            return
        for change in done.changes:
            self.stdout.write(f"{change.name}  {change.before[:8] or 'new'} → {change.after[:8] or 'deleted'}")
        self.stdout.write(f"{repository.name} is up to date.")

    def _log(self, actor: Actor, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise InputError("at least 1 is needed.", "--limit")
        repository = self._named(actor, options["name"])
        ref = options["ref"] or selectors.branch_default(repository)
        found = selectors.commits(repository, ref, limit=options["limit"], search=options["search"])
        if options["as_json"]:
            self.print_json([asdict(commit) for commit in found])
            return
        for commit in found:
            self.stdout.write(_line(commit))

    def _named(self, actor: Actor, name: str) -> Repository:
        repository = selectors.repository_named(name)
        if actor.user and level_of(actor.user, repository) < Level.VIEW:
            raise NotFound(f"no repository is called {name!r}.")
        return repository


def _line(commit: Commit) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in commit.subject)
    return f"{commit.short}  {commit.at:%Y-%m-%d %H:%M}  {commit.author:20.20}  {text}"
