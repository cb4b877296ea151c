"""What a lost run left on hosts: its processes, its half-made link, its unfinished release."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from apps.environments import ssh
from apps.environments.errors import HostError
from apps.environments.models import Deployment, Method
from apps.environments.pipeline.plan import link_name
from apps.environments.pipeline.script_steps import LEAVE, folder_name
from apps.environments.pipeline.scripts import CLEAN_UP
from apps.environments.release import releases_folder
from apps.environments.selectors import hosts_of, script_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.environments.models import Host, ScriptOrder
    from apps.runs.models import Run

logger = logging.getLogger(__name__)
TIMEOUT = 60  # seconds for one host
AT_ONCE = 20


def lost_cleaned_up(deployment: Deployment) -> dict[str, str]:
    """Go to every host of the deployment; by host, what was done there, or why not."""
    environment, run = deployment.environment, deployment.run
    if environment is None or run is None:
        return {}
    symlink = environment.method == Method.SYMLINK
    arguments = [
        f"{run.pk}:{run.token}",
        link_name(environment.target_path, run.pk) if symlink else "",
        releases_folder(environment.target_path, environment.repository.name) if symlink else "",
        deployment.release if symlink and not _taken_over(deployment) else "",
    ]
    hosts = hosts_of(environment, deployment.cluster, deployment.host)
    return _cleaned_up(run, hosts, environment.remote_user, lambda _: [(CLEAN_UP, arguments)])


def lost_script_cleaned_up(order: ScriptOrder) -> dict[str, str]:
    """The same for a run that carried out a build script: its processes, and its folder."""
    run = order.run
    processes = (CLEAN_UP, [f"{run.pk}:{run.token}", "", "", ""])
    return _cleaned_up(run, script_hosts(order), "", lambda host: [processes, (LEAVE, [folder_name(run, host)])])


def _cleaned_up(
    run: Run, meant: Sequence[Host], user: str, scripts: Callable[[Host], Sequence[tuple[str, Sequence[str]]]]
) -> dict[str, str]:
    """Run the scripts on each active host; what they said, by host."""
    hosts = [host for host in meant if host.active]

    def clean(host: Host) -> str:
        try:
            with ssh.connect(host, user) as connection:
                said = [connection.run(script, arguments, timeout=TIMEOUT).out for script, arguments in scripts(host)]
                return "".join(said).strip()
        except HostError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=max(1, min(AT_ONCE, len(hosts)))) as pool:
        told = dict(zip([host.name for host in hosts], pool.map(clean, hosts), strict=True))
    for name, text in told.items():
        logger.info("Run %s, lost: %s: %s", run.pk, name, text or "nothing was left")
    return told


def _taken_over(deployment: Deployment) -> bool:
    """Whether a later run goes on in the same release folder: the run that is lost gave its place free at once."""
    return Deployment.objects.filter(release=deployment.release, pk__gt=deployment.pk).exists()
