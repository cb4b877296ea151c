"""Which commit each host really runs: asked of the hosts themselves, and kept."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from apps.environments import ssh
from apps.environments.errors import HostError
from apps.environments.host_state import SCRIPT, answer, new_mark
from apps.environments.models import Environment, Host, HostRelease, Method
from apps.environments.release import releases_folder
from apps.environments.selectors import hosts_of
from apps.repos.services import panel_command_start
from apps.runs.models import Run
from apps.runs.queue import ring
from apps.runs.states import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCRIPT_TIMEOUT = 20  # seconds
STARTED_AT_ONCE = 50  # environments whose reading one tick of the clock starts
SAID = ("branch", "commit", "release", "deployed_at", "in_progress", "releases", "read_at", "error")


def environment_status_read(*, environment: Environment) -> list[HostRelease]:
    """Ask every active host, many at once, and keep the answers; returns them in the order of the hosts' names.

    A host that does not answer keeps what it said last, with the error. Answers that a deployment
    has overtaken are thrown away: what the deployment itself wrote is newer. No transaction is open
    while hosts are asked.
    """
    environments_status_read(environments=[environment])
    return list(HostRelease.objects.filter(environment=environment).select_related("host").order_by("host__name"))


def environments_status_read(*, environments: Sequence[Environment]) -> None:
    """The same for several, so that the slow hosts of one do not keep the others waiting."""
    began = timezone.now()
    asked = [
        (question, host)
        for environment in environments
        for question in [_Question.of(environment)]
        for host in hosts_of(environment)
        if host.active
    ]
    at_once = max((environment.parallel for environment in environments), default=1)
    with ThreadPoolExecutor(max_workers=min(at_once, max(1, len(asked)))) as pool:
        rows = list(pool.map(lambda one: one[0].ask(one[1]), asked))
    for environment in environments:
        mine = [row for row in rows if row.environment_id == environment.pk]
        with transaction.atomic():
            if not _overtaken(environment, began):
                _store(environment, mine)


def statuses_start_due(now: dt.datetime) -> int:
    """Ring for the environments that nobody looked at for `STATUS_INTERVAL` seconds; how many those are.

    The time of the last look is also the claim: of two clocks only one moves it.
    """
    before = now - dt.timedelta(seconds=settings.STATUS_INTERVAL)
    active = Run.objects.filter(subject=OuterRef("pk"), state__in=ACTIVE)
    due = Environment.objects.filter(
        ~Exists(active), Q(status_read_at=None) | Q(status_read_at__lte=before), clusters__hosts__active=True
    )
    found = list(due.distinct().order_by("pk").values_list("pk", "status_read_at")[:STARTED_AT_ONCE])
    if not found:
        return 0
    with transaction.atomic():
        claimed = [
            pk
            for pk, seen in found
            if Environment.objects.filter(pk=pk, status_read_at=seen).update(status_read_at=now)
        ]
        if claimed:
            ring("apps.environments.tasks.status_read", *claimed)
    return len(claimed)


def statuses_read_start(*, environment_ids: Sequence[int]) -> None:
    """Read them in a process of its own: hosts that do not answer must not hold up the queue's few workers."""
    panel_command_start("hosts", "status", "--id", *map(str, environment_ids))


@dataclass(frozen=True, kw_only=True)
class _Question:
    """All that a thread needs to ask one host, read before: it must not ask the database."""

    environment_id: int
    target_path: str
    releases: str  # the folder of the releases; empty in place
    user: str

    @classmethod
    def of(cls, environment: Environment) -> _Question:
        symlink = environment.method == Method.SYMLINK
        return cls(
            environment_id=environment.pk,
            target_path=environment.target_path,
            releases=releases_folder(environment.target_path, environment.repository.name) if symlink else "",
            user=environment.remote_user,
        )

    def ask(self, host: Host) -> HostRelease:
        """What the host says, as a row that is not stored; `error` says why it does not."""
        row = HostRelease(environment_id=self.environment_id, host=host, read_at=timezone.now())
        mark = new_mark()
        try:
            with ssh.connect(host, self.user) as connection:
                outcome = connection.run(
                    SCRIPT, [mark, self.target_path, self.releases], timeout=SCRIPT_TIMEOUT, grace=1
                )
        except HostError as error:
            row.error = error.problem[:500]
            return row
        state = answer(outcome.out, mark, self.target_path)
        if state is None:
            row.error = f"It did not answer: {outcome.err.strip()[-400:] or 'no reason given'}."
        else:
            for name, value in state.as_fields().items():
                setattr(row, name, value)
        row.read_at = timezone.now()
        return row


def _overtaken(environment: Environment, began: dt.datetime) -> bool:
    runs = Run.objects.filter(subject_id=environment.pk, exclusive=True)
    return runs.filter(Q(state__in=ACTIVE) | Q(ended_at__gte=began)).exists()


def _store(environment: Environment, rows: Sequence[HostRelease]) -> None:
    answered = [row for row in rows if not row.error]
    silent = [row for row in rows if row.error]
    # Two statements, because a host that is silent keeps what it said last.
    for some, columns in ((answered, SAID), (silent, ("read_at", "error"))):
        HostRelease.objects.bulk_create(
            some, update_conflicts=True, unique_fields=["environment", "host"], update_fields=columns
        )
    kept = [row.host_id for row in rows]
    HostRelease.objects.filter(environment=environment).exclude(host__in=kept).delete()
    _store_summary(environment, answered)


def _store_summary(environment: Environment, answered: Sequence[HostRelease]) -> None:
    """When it was looked at, since when its hosts differ, and what is deployed where all of them agree."""
    now = timezone.now()
    commits = {row.commit for row in answered if not row.in_progress}
    differ = len(commits) > 1
    Environment.objects.filter(pk=environment.pk).update(status_read_at=now)
    if differ:
        Environment.objects.filter(pk=environment.pk, differs_since=None).update(differs_since=now)
    elif answered:
        Environment.objects.filter(pk=environment.pk).exclude(differs_since=None).update(differs_since=None)
    agreed = commits.pop() if len(commits) == 1 else ""
    if agreed and _all_answered(environment, answered):
        # Another tool deployed, or the panel is new here: the hosts know better than the row.
        latest = max((row.deployed_at for row in answered if row.deployed_at), default=None)
        Environment.objects.filter(pk=environment.pk).exclude(deployed_commit=agreed).update(
            deployed_commit=agreed, deployed_at=latest or F("deployed_at")
        )
    environment.refresh_from_db(fields=["status_read_at", "differs_since", "deployed_commit", "deployed_at"])


def _all_answered(environment: Environment, answered: Iterable[HostRelease]) -> bool:
    return {host.pk for host in hosts_of(environment) if host.active} == {
        row.host_id for row in answered if not row.in_progress
    }
