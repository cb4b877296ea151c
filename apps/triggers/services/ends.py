"""The end of one subject's run fires triggers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db.models import Max

from apps.access.actor import Actor, Door
from apps.access.errors import PanelError
from apps.environments.models import Deployment
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.models import Sync
from apps.triggers.models import Effect, EndSource, Firing
from apps.triggers.services.fire import OWN_KEY, trigger_fire

if TYPE_CHECKING:
    from apps.runs.models import Run
    from apps.triggers.models import Trigger

logger = logging.getLogger(__name__)
# Of runs that others may work beside, those that change something; looks and previews end all the time.
_HEARD = ("agent", "script")


def run_ended_fire(*, run: Run) -> int:
    """Fire the triggers that wait for this end; how many. In a worker; called twice, it fires once."""
    if run.subject_id is None or not (run.exclusive or run.kind in _HEARD):
        return 0
    sources = EndSource.objects.filter(of=run.subject_id, trigger__enabled=True).select_related("trigger__hours")
    triggers = {
        source.trigger_id: source.trigger
        for source in sources.order_by("trigger_id")
        if run.state in (source.states or [RunState.SUCCEEDED])
    }
    if not triggers:
        return 0
    before = Effect.objects.filter(run=run).aggregate(depth=Max("firing__depth"))["depth"]
    depth, payload = 0 if before is None else before + 1, _payload(run)
    return sum(_fire(trigger, run, payload, depth) for trigger in triggers.values())


def _fire(trigger: Trigger, run: Run, payload: dict[str, Any], depth: int) -> bool:
    try:
        trigger_fire(
            trigger=trigger,
            actor=Actor(user=None, door=Door.SYSTEM, behind=run.requested_name),
            cause=Cause.TRIGGER,
            source=Firing.Source.RUN,
            payload=payload,
            idempotency_key=f"{OWN_KEY}run:{run.pk}",
            ended_run=run,
            depth=depth,
        )
    except PanelError as error:
        logger.info("The end of run %s did not fire the trigger %s: %s", run.pk, trigger, error)
        return False
    return True


def _payload(run: Run) -> dict[str, Any]:
    rows = Deployment.objects.filter(run=run).values_list("ref", "commit").first()
    rows = rows or Sync.objects.filter(run=run).values_list("ref", "commit").first()
    ref, commit = rows or ("", "")
    return {
        "run": run.pk,
        "kind": run.kind,
        "of": run.subject_path,
        "state": str(run.state),
        "summary": run.summary,
        "by": run.requested_name,
        "ref": ref,
        "commit": commit,
    }
