"""The result of a preview, as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def preview_lines(result: Mapping[str, Any]) -> list[str]:
    """The commit, what lies between, each host, and the gate's answer: whatever of them the preview has."""
    return [*_commits(result), *_files(result), *_hosts(result), *_gate(result)]


def _commits(result: Mapping[str, Any]) -> Iterator[str]:
    if result.get("commit"):
        yield f"Would deploy {result['commit'][:10]} {result.get('subject', '')} ({result.get('author', '')})"
    if result.get("difference_error"):
        yield f"What lies between cannot be told: {result['difference_error']}"
    commits = result.get("commits") or []
    if commits:
        yield f"Commits since {result.get('deployed', '')[:10] or 'the beginning'}: {result['commits_total']}"
    for commit in commits:
        yield f"  {commit['sha'][:10]}  {commit['author']}: {commit['subject']}"
    if result.get("behind_total"):
        yield f"Commits that would be taken back: {result['behind_total']}"


def _files(result: Mapping[str, Any]) -> Iterator[str]:
    files = result.get("files") or []
    if files:
        yield f"Files that differ: {result['files_total']}"
    for file in files:
        yield f"  {file['status']}  {file['path']}"
    if result.get("files_total", 0) > len(files):
        yield f"  … and {result['files_total'] - len(files)} more"


def _hosts(result: Mapping[str, Any]) -> Iterator[str]:
    for name, host in sorted((result.get("hosts") or {}).items()):
        if host.get("error"):
            yield f"{name}: {host['error']}"
        elif "added" in host:
            yield f"{name}: {host['added']} new, {host['changed']} changed, {host['deleted']} deleted"
    if result.get("skipped"):
        yield f"Left out because inactive: {', '.join(result['skipped'])}"


def _gate(result: Mapping[str, Any]) -> Iterator[str]:
    gate = result.get("gate") or {}
    if gate:
        yield "A deployment would be allowed now." if gate.get("allowed") else "A deployment would be refused now:"
        for rule in gate.get("rules") or []:
            if not rule["allowed"]:
                yield f"  {rule['reason']}"
