"""`manage.py trigger`: fire a named trigger, and see what there is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from apps.access.command import Exit
from apps.access.errors import InputError
from apps.runs.follow import EXITS, LOOK_EVERY
from apps.runs.models import Cause
from apps.runs.starting import INTERRUPTED, StartingCommand
from apps.runs.states import ENDED, RunState
from apps.triggers.management.command_words import (
    effect_words,
    effects_of,
    firing_row,
    firing_words,
    moment,
    payload_given,
    trigger_lines,
    trigger_row,
)
from apps.triggers.models import Effect, Firing
from apps.triggers.selectors import trigger_named, triggers_visible
from apps.triggers.services.fire import trigger_fire

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django.core.management.base import CommandParser

# Its exit status, worst last.
_WORST = (Exit.DONE, Exit.LOST, Exit.REFUSED, Exit.FAILED)


class Command(StartingCommand):
    help = "Fire a named trigger, or see triggers and their firings."
    examples = """
        manage.py trigger fire web                                 count one more, and start what it starts
        manage.py trigger fire web --payload '{"ref": "v1.2"}' --wait    until all that it started has ended
        manage.py trigger fire web --payload @event.json --json    what it led to, for scripts
        manage.py trigger list
        manage.py trigger show web
    """

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="fire|list|show")
        fire = acts.add_parser("fire", help="fire it once")
        self._name(fire)
        fire.add_argument("--payload", default="", metavar="JSON", help="JSON, @FILE, or @- for standard input")
        fire.add_argument("--key", default="", help="an idempotency key: the same request fires once")
        fire.add_argument("--wait", action="store_true", help="until all that it started has ended; exit as it ended")
        fire.add_argument(
            "--override", metavar="REASON", default="", help="pass closed hours and freezes; administrators only"
        )
        for shown in (fire, acts.add_parser("list", help="all triggers"), acts.add_parser("show", help="one trigger")):
            self.add_as_argument(shown)
            self.add_json_argument(shown)
        self._name(acts.choices["show"])

    def _name(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the trigger's name")

    def work(self, **options: Any) -> int | None:
        return {"fire": self._fire, "list": self._list, "show": self._show}[options["act"]](options)

    def _list(self, options: dict[str, Any]) -> None:
        user = self.actor(options).user
        rows = list(triggers_visible(user).select_related("hours").prefetch_related("agents"))
        if options["as_json"]:
            self.print_json([trigger_row(trigger) for trigger in rows])
            return
        width = max((len(str(trigger)) for trigger in rows), default=0)
        for trigger in rows:
            state = "on " if trigger.enabled else "OFF"
            self.stdout.write(f"{trigger!s:{width}}  {state}  {trigger.count:>8}  {moment(trigger.fired_at)}")

    def _show(self, options: dict[str, Any]) -> None:
        trigger = trigger_named(options["name"], self.actor(options).user)
        if options["as_json"]:
            newest = trigger.firings.select_related("trigger").all()[:10]
            self.print_json(trigger_row(trigger) | {"firings": [firing_row(firing) for firing in newest]})
        else:
            self.stdout.write("\n".join(trigger_lines(trigger)))

    def _fire(self, options: dict[str, Any]) -> int:
        actor = self.actor(options)
        trigger = trigger_named(options["name"], actor.user)
        if options["override"] and not options["override"].strip():
            raise InputError("An override needs a reason.", "--override")
        firing = trigger_fire(
            trigger=trigger,
            actor=actor,
            cause=Cause.COMMAND,
            source=Firing.Source.COMMAND,
            payload=payload_given(options["payload"]),
            idempotency_key=options["key"],
            override=options["override"],
        )
        if not options["as_json"]:
            self.stdout.write(firing_words(firing))
        status = self._waited(firing, quiet=options["as_json"]) if options["wait"] else Exit.DONE
        firing.refresh_from_db()
        if options["as_json"]:
            self.print_json(firing_row(firing))
        elif not options["wait"]:
            for effect in effects_of(firing):
                self.stdout.write(f"  {effect_words(effect)}")
        return status

    def _waited(self, firing: Firing, *, quiet: bool) -> int:
        """Tell of each target when it is done; how the worst of them ended."""
        told: dict[int, Exit] = {}
        try:
            while firing.state in {Firing.State.HELD, Firing.State.CHECKING} or not told.keys() >= self._known(firing):
                for effect in effects_of(firing):
                    if effect.pk not in told and (status := _ended(effect)) is not None:
                        told[effect.pk] = status
                        if not quiet:
                            self.stdout.write(f"  {effect_words(effect)}")
                            self.stdout.flush()
                firing.refresh_from_db()
                time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            self.stderr.write("What it started goes on.")
            return INTERRUPTED
        if firing.state == Firing.State.REFUSED:
            self.stderr.write(firing_words(firing))
            return Exit.REFUSED
        return max(told.values(), key=_WORST.index, default=Exit.DONE)

    def _known(self, firing: Firing) -> set[int]:
        return set(firing.effects.values_list("pk", flat=True))


def _ended(effect: Effect) -> Exit | None:
    """How it ended; None while it waits or works. Skipped, merged and unmet ones are as they were asked for."""
    if effect.state == Effect.State.STARTED and effect.run is not None:
        return EXITS[RunState(effect.run.state)] if effect.run.state in ENDED else None
    ends = {
        Effect.State.PENDING: None,
        Effect.State.REFUSED: Exit.REFUSED,
        Effect.State.FAILED: Exit.FAILED,
    }
    return ends.get(Effect.State(effect.state), Exit.DONE)
