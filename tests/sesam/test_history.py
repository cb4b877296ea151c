"""What a node's history lets go of, and what it keeps."""

from __future__ import annotations

import pytest

from apps.runs.models import Run
from apps.runs.states import RunState
from apps.sesam.models import Node, StoredConfiguration, Sync
from apps.sesam.services import snapshots_prune, syncs_lighten
from tests.sesam import rows

pytestmark = pytest.mark.django_db


def sides(number: int) -> dict[str, object]:
    before, wanted = (rows.configuration(rows.pipe("orders", batch_size=number + step)) for step in (0, 1))
    return {"before": before, "wanted": wanted}


def pruned(*syncs: Sync) -> None:
    Run.objects.filter(pk__in=[sync.run_id for sync in syncs]).delete()


def heavy() -> set[int]:
    return set(Sync.objects.filter(before__isnull=False, wanted__isnull=False).values_list("pk", flat=True))


def test_what_was_compared_goes_with_its_run_and_the_row_stays() -> None:
    node = rows.node_make()
    old, kept, newest = (rows.sync_make(node, number, **sides(9 * number)) for number in range(3))
    pruned(old)
    assert syncs_lighten() == 1
    assert heavy() == {kept.pk, newest.pk}
    StoredConfiguration.objects.update(stored_at="2020-01-01T00:00:00Z")
    snapshots_prune()
    assert StoredConfiguration.objects.count() == 4
    assert Sync.objects.get(pk=old.pk).counts == old.counts


def test_the_newest_of_each_node_is_kept() -> None:
    made = [rows.sync_make(rows.node_make(name), 1, **sides(1)) for name in ("dev", "prod")]
    pruned(*made)
    assert syncs_lighten() == 0
    assert heavy() == {sync.pk for sync in made}


def test_what_something_is_owed_for_is_kept() -> None:
    node = rows.node_make()
    owed = rows.sync_make(node, 1, state=RunState.LOST, **sides(1))
    begun = rows.sync_make(node, 2, journal=[{"what": "variables", "state": "sent", "at": ""}], **sides(20))
    rows.sync_make(node, 3, **sides(30))
    Node.objects.filter(pk=node.pk).update(owed=owed)
    pruned(owed, begun)
    assert syncs_lighten() == 0
    assert {owed.pk, begun.pk} < heavy()


def test_lightening_twice_does_nothing_more() -> None:
    node = rows.node_make()
    pruned(rows.sync_make(node, 1, **sides(1)))
    rows.sync_make(node, 2, **sides(2))
    assert [syncs_lighten(), syncs_lighten()] == [1, 0]
