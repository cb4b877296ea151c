"""A node of the panel's, its repository and the fake behind it; and runs carried out in this very process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.access.actor import Actor, Door
from apps.runs.errors import RunEnded, RunStopped, RunTimedOut
from apps.runs.kinds import kind_named
from apps.runs.log import LogWriter
from apps.runs.models import Cause, Run, Step
from apps.runs.runner import Outcome, Runner
from apps.runs.services import run_claim, run_move
from apps.runs.states import RunState, StepState
from apps.runs.work import Work
from apps.sesam.models import Node, Sync
from apps.sesam.patience import Patience
from apps.sesam.services import doors, sync_request
from tests.fakes.sesam_node import FakeNode
from tests.support.gitrepo import GitRepo

OPERATOR = Actor(user=None, door=Door.COMMAND)
ROOT = "conf"
JWT = "good-token"
# Tries come quickly after another; an answer may take as long as a busy machine needs.
TINY = Patience(connect=20.0, read=20.0, write=20.0, total=40.0, tries=3, limit=120.0, first=0.01, longest=0.02)


def pipe(name: str, /, **more: Any) -> dict[str, Any]:
    return {"_id": name, "type": "pipe", "source": {"type": "embedded", "entities": []}, **more}


def system(name: str, /, **more: Any) -> dict[str, Any]:
    return {"_id": name, "type": "system:url", "url_pattern": "http://example.com/%s", **more}


METADATA = {"_id": "node", "type": "metadata", "task_manager": {"disable_user_pipes": False}}


def conf_files(*entities: Mapping[str, Any], root: str = ROOT) -> dict[str, str]:
    """Files as they lie in a repository."""
    files = {}
    for one in entities:
        kind = str(one["type"]).partition(":")[0]
        name = "node-metadata.conf.json" if kind == "metadata" else f"{kind}s/{one['_id']}.conf.json"
        files[f"{root}/{name}" if root else name] = json.dumps(one, indent=2)
    return files


def tiny_patience(monkeypatch: Any, silence: float | None = None) -> None:
    """Nobody waits long before asking a fake again. `silence`: the seconds to wait for one that never answers."""
    from apps.sesam.pipeline import read_back

    # Where silence is waited for, a try may end for being slow alone: more of them make up for that.
    patience = TINY if silence is None else replace(TINY, read=silence, write=silence, tries=6)
    for name in ("WORKING", "UNDOING", "PAYING"):
        monkeypatch.setattr(doors, name, patience)
    monkeypatch.setattr(read_back, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(read_back, "DEPLOYING_WAIT", 0.3)


@dataclass
class Setting:
    """`repo` is what Git has, `fake` what the node has, `node` the row between them."""

    repo: GitRepo
    fake: FakeNode
    node: Node

    def commit(self, *entities: Mapping[str, Any], subject: str = "Change", **files: Any) -> str:
        """Git holds exactly these entities below ROOT, beside other `files`."""
        gone = {
            str(path.relative_to(self.repo.tree)): None
            for path in (self.repo.tree / ROOT).rglob("*.conf.json")
            if path.is_file()
        }
        return self.repo.commit({**gone, **conf_files(*entities), **files.get("files", {})}, subject)

    def hold(self, *entities: Mapping[str, Any]) -> None:
        """The node has exactly these."""
        self.fake.entities.clear()
        self.fake.put(*(dict(one) for one in entities))

    def sync(self, **asked: Any) -> Sync:
        """Ask for a sync and carry it out here; the fresh row."""
        self.node.refresh_from_db()
        return carried_out(sync_request(node=self.node, actor=OPERATOR, cause=Cause.PERSON, **asked))

    def state(self) -> tuple[Any, Any, Any]:
        """What the node holds, for comparing."""
        return (
            json.loads(json.dumps(self.fake.entities)), dict(self.fake.variables), dict(self.fake.secrets),
        )  # fmt: skip


MakeSetting = Callable[..., Setting]


def setting_made(repo: GitRepo, fake: FakeNode, **fields: Any) -> Setting:
    """The node “dev”, which follows `repo`."""
    repository = repo.declare()
    row = {"name": "dev", "url": fake.url, "jwt": JWT, "repository": repository, "sync_root": ROOT, **fields}
    return Setting(repo, fake, Node.objects.create(**row))


class StillRecorder:
    """Stores nothing while the work is at it: tests look at the end."""

    def __init__(self) -> None:
        self.log = LogWriter(limit=10_000_000)
        self.steps: dict[int, Step] = {}

    def step_changed(self, *steps: Step) -> None:
        self.steps.update((id(step), step) for step in steps)

    def result_changed(self, result: dict[str, Any]) -> None:
        self.result = result


@dataclass
class Carried:
    """A run as its own process would carry it out. `meanwhile` is called with the work before it begins."""

    run: Run
    meanwhile: Callable[[Work], None] | None = None
    recorder: StillRecorder = field(default_factory=StillRecorder)
    texts: list[str] = field(default_factory=list)

    def carry_out(self) -> Outcome:
        run = run_claim(run_id=self.run.pk)
        assert run is not None
        work = Work(run, Path(settings.WORK_DIR) / f"run-{run.pk}", self.recorder)  # type: ignore[arg-type]
        work.folder.mkdir(parents=True, exist_ok=True)
        if self.meanwhile is not None:
            self.meanwhile(work)
        outcome = self._outcome(run, work)
        for step in self.recorder.steps.values():
            if step.state == StepState.RUNNING:
                step.state = StepState.FAILED
            step.save()
        self.texts = [text for _, _, text in self.recorder.log.take()]
        summary = work.log.shown(outcome.summary)[:500]
        if work.reason is not None:
            run_move(run_id=run.pk, to=RunState.STOPPING, before=[RunState.RUNNING])
        moved = run_move(run_id=run.pk, to=outcome.state, held_by=run.token, summary=summary, result=work.run.result)
        assert moved is not None
        return outcome

    def _outcome(self, run: Run, work: Work) -> Outcome:
        kind = kind_named(run.kind)
        try:
            decision = kind.admit(run)
            if not decision.allowed:
                return Outcome(RunState.FAILED, "Refused: " + " ".join(decision.reasons))
            kind.execute(work)
        except BaseException as error:
            if not isinstance(error, Exception | RunEnded):
                raise
            return self._ended_by(work, error)
        return Outcome(RunState.SUCCEEDED, work.summary)

    def _ended_by(self, work: Work, error: BaseException) -> Outcome:
        """As the runner itself decides."""
        runner = Runner.__new__(Runner)
        runner._work = work
        return runner._ended_by(error)


LOGS: dict[int, str] = {}


def carried_out(sync: Sync, meanwhile: Callable[[Work], None] | None = None, *, settle: bool = True) -> Sync:
    """Carry the run of `sync` out, and what follows its end; the fresh row. Its log is in `LOGS`."""
    assert sync.run is not None
    carried = Carried(sync.run, meanwhile)
    carried.carry_out()
    LOGS[sync.pk] = "".join(carried.texts)
    run = Run.objects.select_related("subject", "requested_by").get(pk=sync.run.pk)
    if settle:
        kind_named(run.kind).settle(run)
    fresh: Sync = Sync.objects.select_related("run", "node").get(pk=sync.pk)
    return fresh


def log_of(sync: Sync) -> str:
    return LOGS[sync.pk]


def steps_of(sync: Sync) -> dict[str, str]:
    """State by stage."""
    return dict(Step.objects.filter(run=sync.run).values_list("stage", "state"))


STOP = RunStopped("Stopped by teammate.")
TIME_OVER = RunTimedOut("It took longer than its limit of 3 seconds.")
