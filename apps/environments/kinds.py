"""The kinds of work that environments bring: deployment, rollback, preview, script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from apps.access import gate
from apps.access.decision import Decision, RuleResult
from apps.environments.models import Action, Deployment, Environment, ScriptOrder
from apps.environments.pipeline import build, hosts
from apps.environments.pipeline.clean_up import lost_cleaned_up, lost_script_cleaned_up
from apps.environments.pipeline.deploy import deploy
from apps.environments.pipeline.preview import COMPARE, EXPORT, preview
from apps.environments.pipeline.rollback import rollback
from apps.environments.pipeline.script import script_carried_out
from apps.environments.pipeline.script_steps import CONNECT
from apps.environments.services.auto_deploy import auto_deploy_wanted
from apps.environments.services.deploy import targets_rule
from apps.runs.kinds import RunKind, register
from apps.runs.knock import actor_of
from apps.runs.models import Cause
from apps.runs.recorder import note_append
from apps.runs.services import subject_held
from apps.runs.states import ENDED, RunState

if TYPE_CHECKING:
    from apps.runs.models import Run
    from apps.runs.work import Work


class DeploymentKind(RunKind):
    """What deployments and rollbacks share: a Deployment row beside the run."""

    stages = (*build.STAGES, *hosts.STAGES)

    def admit(self, run: Run) -> Decision:
        deployment = _deployment(run)
        environment = deployment.environment
        assert environment is not None
        return gate.decide(
            actor=actor_of(run),
            act=gate.Act.ACT,
            subject=environment,
            extra=[targets_rule(environment, deployment.cluster, deployment.host), _pause_rule(run, environment)],
            override=run.override_reason,
        )

    def execute(self, work: Work) -> None:
        deploy(work, _deployment(work.run))

    def moved(self, run: Run) -> None:
        if run.state in ENDED:
            # A push that saw the run at work has noted its wish when this goes on, so that what follows finds it.
            subject_held(Environment, run.subject_id)
        rows = Deployment.objects.filter(run=run)
        rows.update(state=run.state, started_at=run.started_at, ended_at=run.ended_at)
        if run.state != RunState.SUCCEEDED:
            return
        deployment = rows.first()
        if deployment is not None and deployment.environment is not None and not deployment.target:
            Environment.objects.filter(pk=deployment.environment.pk).update(
                deployed_commit=deployment.commit, deployed_at=run.ended_at, differs_since=None
            )

    def clean_up(self, run: Run) -> None:
        told = lost_cleaned_up(_deployment(run))
        for host, text in told.items():
            note_append(run, f"{host}: {text or 'Nothing was left there.'}")

    def settle(self, run: Run) -> None:
        deployment = Deployment.objects.select_related("environment").filter(run=run).first()
        if deployment is not None and deployment.environment is not None:
            # A cluster or a host alone is not the environment: its other hosts still want the commit.
            attempted = "" if deployment.target else deployment.commit
            auto_deploy_wanted(environment=deployment.environment, attempted=attempted)


class DeployKind(DeploymentKind):
    name, label = str(Action.DEPLOY), "Deployment"


class RollbackKind(DeploymentKind):
    name, label = str(Action.ROLLBACK), "Rollback"

    def execute(self, work: Work) -> None:
        rollback(work, _deployment(work.run))


class PreviewKind(RunKind):
    name, label = "preview", "Preview"
    stages = (build.FETCH, EXPORT, hosts.CONNECT, COMPARE)

    def admit(self, run: Run) -> Decision:
        assert run.subject is not None
        return gate.decide(actor=actor_of(run), act=gate.Act.STOP, subject=run.subject)

    def execute(self, work: Work) -> None:
        preview(work, actor_of(work.run))


class ScriptKind(RunKind):
    """A build script on hosts. What it is about is a trigger, which this app does not know."""

    name, label = "script", "Script"
    stages = (CONNECT,)

    def admit(self, run: Run) -> Decision:
        if run.subject is None:
            gone = RuleResult(name="subject", allowed=False, reason=f"{run.subject_path} is gone.")
            return Decision(at=timezone.now(), rules=(gone,))
        return gate.decide(actor=actor_of(run), act=gate.Act.ACT, subject=run.subject, override=run.override_reason)

    def execute(self, work: Work) -> None:
        script_carried_out(work, _script_order(work.run))

    def clean_up(self, run: Run) -> None:
        for host, text in lost_script_cleaned_up(_script_order(run)).items():
            note_append(run, f"{host}: {text or 'Nothing was left there.'}")


def _pause_rule(run: Run, environment: Environment) -> RuleResult:
    """A push that waited for its window must not undo the rollback that paused all pushes meanwhile."""
    paused = run.cause == Cause.PUSH and environment.auto_paused_at is not None
    reason = f"Automatic deployment is paused: {environment.auto_paused_reason}" if paused else "It is not paused."
    return RuleResult(name="pause", allowed=not paused, reason=reason)


def _deployment(run: Run) -> Deployment:
    rows = Deployment.objects.select_related("environment__repository__ssh_key", "environment__hours")
    return rows.select_related("cluster", "host", "run", "environment__repository__ssh_key").get(run=run)


def _script_order(run: Run) -> ScriptOrder:
    return ScriptOrder.objects.select_related("run", "cluster").get(run=run)


def register_kinds() -> None:
    for kind in (DeployKind(), RollbackKind(), PreviewKind(), ScriptKind()):
        register(kind)
