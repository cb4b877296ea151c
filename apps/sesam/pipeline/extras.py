"""Those that a master feeds: a Git repository each, or a node of the panel's, whose own run is asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from apps.access.errors import DecryptionError, PanelError
from apps.repos.services.publish import folder_publish
from apps.runs.errors import RunFailed
from apps.runs.knock import actor_of
from apps.runs.models import Cause
from apps.sesam.pipeline import stages
from apps.sesam.selectors import branch_of, extras_of
from apps.sesam.services.automatic import sync_fed
from apps.sesam.share_files import is_for_another_environment, share_files
from apps.sesam.words import some

if TYPE_CHECKING:
    from apps.repos.services.publish import Published
    from apps.runs.work import StepHandle
    from apps.sesam.expansion import Share
    from apps.sesam.models import ExtraNode
    from apps.sesam.pipeline.session import Session

FOLDER = "node"


def extras_fed(session: Session) -> None:
    """Bring each its share. The node itself is done; raises RunFailed when one of them could not be fed."""
    extras, told, failed = list(extras_of(session.node)), [], []
    session.work.plan_steps([stages.EXTRAS], [extra.name for extra in extras])
    for extra in extras:
        entry = _entry(session, extra)
        with session.work.step(stages.EXTRAS, extra.name) as handle:
            try:
                _feed(session, extra, entry, handle)
            except PanelError as error:
                entry |= {"state": "failed", "result": session.work.log.shown(str(error))}
                handle.fail(str(error))
                failed.append(f"{extra.name}: {error}")
            session.work.log.note(f"Extra node {extra.name}: {entry['result']}")
        told.append(entry)
        session.keep(extras=told)
    if failed:
        node = session.node.name
        raise RunFailed(f"{node} itself has {session.row.commit[:8]}, but not all that it feeds: {'; '.join(failed)}")


def extras_told(session: Session) -> None:
    """For a plan: what would be published where. Nothing fails for it."""
    told = []
    for extra in extras_of(session.node):
        entry = _entry(session, extra)
        try:
            entry["result"] = _would(session, extra)
        except PanelError as error:
            entry |= {"state": "failed", "result": session.work.log.shown(str(error))}
        session.note(f"Extra node {extra.name}: {entry['result']}")
        told.append(entry)
    session.keep(extras=told)


def _feed(session: Session, extra: ExtraNode, entry: dict[str, Any], handle: StepHandle) -> None:
    if extra.repository is not None:
        published = _published(session, extra, dry_run=False)
        entry |= {"commit": published.commit, "changed": published.changed, "state": "succeeded"}
        entry["result"] = _words(published, extra)
    elif extra.node is not None:
        run, ref = session.work.run, branch_of(session.node) if session.row.commit == "" else session.row.ref
        outcome = sync_fed(
            node=extra.node, commit=session.row.commit, ref=ref, actor=actor_of(run), cause=Cause(run.cause)
        )
        entry |= {"run": outcome.run.pk if outcome.run else None, "result": outcome.text}
        entry["state"] = "refused" if outcome.text.startswith("refused") else "asked"
    handle.message = entry["result"][:500]


def _would(session: Session, extra: ExtraNode) -> str:
    if extra.repository is None:
        return f"the node {extra.node} is synced by a run of its own"
    published = _published(session, extra, dry_run=True)
    return _words(published, extra, verb="would be pushed to" if published.changed else "")


def _published(session: Session, extra: ExtraNode, *, dry_run: bool) -> Published:
    repository, row = extra.repository, session.row
    assert repository is not None
    with suppress(DecryptionError):  # the push says so, where it needs it
        session.work.mask(repository.access_token)
    subject = f"Take over {session.node.name} {row.commit[:8]}: {row.commit_subject}"[:120]
    source = session.node.repository.name if session.node.repository else ""
    return folder_publish(
        repository=repository,
        branch=extra.branch or "main",
        files=share_files(_share(session, extra), session.node.environment),
        folder=FOLDER,
        message=f"{subject}\n\nSource: {source} {row.commit}\n",
        keeps=is_for_another_environment,
        work=session.work,
        dry_run=dry_run,
    )


def _words(published: Published, extra: ExtraNode, verb: str = "") -> str:
    where = f"{extra.repository} {extra.branch or 'main'}"
    if not published.changed:
        return f"no change: {where} has it already"
    counts = [
        f"{len(paths)} {what} ({some(paths)})"
        for what, paths in (
            ("added", published.added), ("changed", published.changed_files), ("removed", published.removed),
        )
        if paths
    ]  # fmt: skip
    return f"{verb or f'pushed {published.commit[:8]} to'} {where}: {', '.join(counts)}"


def _share(session: Session, extra: ExtraNode) -> Share:
    desired = session.desired
    assert desired is not None
    assert desired.expansion is not None
    return desired.expansion.shares[extra.name]


def _entry(session: Session, extra: ExtraNode) -> dict[str, Any]:
    share = _share(session, extra)
    return {
        "name": extra.name,
        "way": "repository" if extra.repository_id is not None else "node",
        "target": str(extra.repository or extra.node),
        "entities": len(share.entities),
        "replicas": [
            {"id": one.id, "kind": one.kind, "template": one.template, "inbound": one.inbound, "outbound": one.outbound}
            for one in share.replicas
        ],
        "state": "planned",
        "result": "",
    }
