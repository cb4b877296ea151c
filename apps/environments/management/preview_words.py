"""The result of a preview, as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def preview_lines(result: Mapping[str, Any]) -> list[str]:
    """Commits, files, hosts and the gate's answer, whichever of them the preview has."""
    return [*_commits(result), *_files(result), *_hosts(result), *_gate(result)]


def _commits(result: Mapping[str, Any]) -> Iterator[str]:
    commits = result.get("commits") or []
    yield f"Commits: {len(commits)}"
    for commit in commits:
        yield f"  {str(commit.get('sha', ''))[:10]}  {commit.get('author', '')}  {commit.get('subject', '')}"


def _files(result: Mapping[str, Any]) -> Iterator[str]:
    files = result.get("files") or []
    yield f"Files: {len(files)}"
    for file in files:
        yield f"  {file.get('status', '?')}  {file.get('path', '')}"


def _hosts(result: Mapping[str, Any]) -> Iterator[str]:
    for host in result.get("hosts") or []:
        if host.get("error"):
            yield f"{host.get('host', '')}: {host['error']}"
        else:
            counts = ", ".join(f"{host.get(key, 0)} {word}" for key, word in COUNTS)
            yield f"{host.get('host', '')}: {counts}"


def _gate(result: Mapping[str, Any]) -> Iterator[str]:
    gate = result.get("gate") or {}
    if gate:
        yield "Allowed now." if gate.get("allowed") else "Refused now:"
        for rule in gate.get("rules") or []:
            yield f"  {'yes' if rule['allowed'] else 'no '}  {rule['name']}: {rule['reason']}"


COUNTS = (("added", "to add"), ("changed", "to change"), ("deleted", "to delete"))
