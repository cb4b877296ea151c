"""What deleted repositories leave on the disk."""

from __future__ import annotations

from apps.repos import mirror
from apps.repos.models import Repository


def mirrors_prune() -> int:
    """Remove the mirrors whose repositories are deleted; how many. One that is being fetched stays a while."""
    gone = [number for number in mirror.numbers() if repository_gone(str(number))]
    return sum(mirror.remove(mirror.mirror_path(number)) for number in gone)


def repository_gone(number: str) -> bool:
    """Whether that is the number of a repository (none is given out twice) and there is none of it."""
    return number.isascii() and number.isdigit() and not Repository.objects.filter(pk=int(number)).exists()
