"""What a lost run left on hosts: its processes, its half-made link, its unfinished release."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from apps.environments import ssh
from apps.environments.errors import HostError
from apps.environments.models import Deployment, Method
from apps.environments.pipeline.plan import link_name
from apps.environments.pipeline.scripts import CLEAN_UP
from apps.environments.release import releases_folder
from apps.environments.selectors import hosts_of

if TYPE_CHECKING:
    from apps.environments.models import Host

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
    hosts = [host for host in hosts_of(environment, deployment.cluster, deployment.host) if host.active]

    def clean(host: Host) -> str:
        try:
            with ssh.connect(host, environment.remote_user) as connection:
                return connection.run(CLEAN_UP, arguments, timeout=TIMEOUT).out.strip()
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
