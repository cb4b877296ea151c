"""The environment variables of the two tools that synced nodes before, as a declaration for `manage.py apply`.

One tool watched a repository from inside a node; the other deployed a repository of several nodes from a pipeline.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.sesam.env_text import SYSTEM_ID, env_read
from apps.sesam.env_work import Imported, Work, address, https_url, is_true, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

NOWHERE = "fill-in.example"  # a host that can never be reached, where the old variables name none
DEFAULT_BRANCH = "master"  # of both tools
# What the deploying tool called its master, always: ids that its templates make contain it.
MASTER = "master"
INSIDE = "sesam-node"  # the node, as only its own containers know it
WATCHER_INTERVAL = 60  # seconds
_NO_GROUP = {"", "none", "null", "none-by-default"}


def env_import(
    text: str, *, file: str, name: str = "", repository_url: str = "", with_secrets: bool = False
) -> Imported:
    """What the variables in `text` mean; `name` and `repository_url` say what they may lack.

    Secrets are named as files to be made (`jwt_file`) unless `with_secrets`. Raises InputError for text that cannot
    be understood, or that has nothing of either tool.
    """
    work = Work(env_read(text, file), file, with_secrets)
    if work.has("MASTER_NODE", "NODE_FOLDER"):
        _deployer(work, name or MASTER, repository_url)
    elif work.has("GIT_REPO", "SESAM_API_URL", "AUTODEPLOYER_PATH"):
        _watcher(work, name, repository_url)
    else:
        raise InputError("there is no GIT_REPO and no MASTER_NODE among the variables: no node to take over.", file)
    work.finish()
    return work.out


def _watcher(work: Work, name: str, repository_url: str) -> None:
    url = _node_url(work, work.text("SESAM_API_URL", f"http://{INSIDE}:9042/api"))
    name = name or name_of((address(url).hostname or "").partition(".")[0])
    files = [work.text("VARIABLES_FILE_PATH")] if work.has("VARIABLES_FILE_PATH") else []
    store = _store(work)
    checked = [what for what, wanted in (("variables", files), ("secrets", store)) if wanted]
    if work.has("VERIFY_SSL") and not is_true(work.take("VERIFY_SSL")):
        work.note("TLS was not verified (VERIFY_SSL) and will be: name the node's ca_bundle, or say verify_tls: false.")
    work.add(
        "nodes",
        name=name,
        url=url,
        **({"enabled": False} if work.flag("off") else {}),
        **work.secret("jwt", f"{name}.jwt", work.take("JWT"), "JWT"),
        repository=_watched(work, repository_url),
        branch=_branch(work),
        layout="single",
        **_filled(sync_root=work.text("SYNC_ROOT").strip("/"), variables=files, verify=checked, upload=checked),
        **_filled(secret_store=store),
        apply="heal",
        interval=_interval(work),
        protected=_protected(work),
        **({"orchestrator": True} if work.flag("ORCHESTRATOR") else {}),
    )


def _watched(work: Work, repository_url: str) -> str:
    """The repository of the watching tool, by a deploy key, or with a user name by a token over HTTPS."""
    token = work.take("DEPLOY_TOKEN")
    username = work.text("GIT_USERNAME")
    named = work.text("GIT_REPO") or repository_url
    # A token alone was always a deploy key; the address it belongs to may not be told.
    is_key = "PRIVATE KEY" in str(token) or (not username and (bool(token) if not named else named[:4] != "http"))
    url = named or _url_to_fill_in(work, "git@" if is_key else "https://")
    repository = _repository_name(url)
    if is_key:
        key = f"{repository}-deploy-key"
        work.add("ssh_keys", name=key, **work.secret("private_key", f"{key}.key", token, "DEPLOY_TOKEN"))
        work.add("repositories", name=repository, url=url, ssh_key=key)
        work.note(f"the Git server's host keys are verified: add host_keys to the repository {repository}.")
        return repository
    access = work.secret("access_token", f"{repository}.token", token, "DEPLOY_TOKEN") if token else {}
    login = {"username": username or "x-access-token", **access} if token or username else {}
    work.add("repositories", name=repository, url=https_url(url), **login)
    return repository


def _deployer(work: Work, name: str, repository_url: str) -> None:
    master = work.mapping("MASTER_NODE")
    stage = work.text("ENVIRONMENT", "test").lower()
    url = repository_url or work.text("GIT_REPO") or _url_to_fill_in(work)
    repository = _repository_name(url)
    work.add("repositories", name=repository, url=url)
    store = _store(work)
    if name == MASTER:
        work.note(
            "templates write the master's name for ##REPLACE_ID##; the old tool wrote “master”, so it is called so."
        )
    group = str(master.get("CONFIG_GROUP") or "")
    work.add(
        "nodes",
        name=name,
        **(_master_access(work, master, name) if stage != "ci" or master else {}),
        repository=repository,
        branch=_branch(work),
        layout="multi",
        **_filled(sync_root=work.text("NODE_FOLDER").strip("./")),
        environment=stage,
        **_filled(variables=_variables(work, stage), whitelist=work.text("WHITELIST_FILE_PATH")),
        verify=_chosen(
            work, {"variables": work.take("VERIFY_VARIABLES"), "secrets": work.take("VERIFY_SECRETS")}, store
        ),
        upload=_chosen(
            work, {"variables": master.get("UPLOAD_VARIABLES"), "secrets": master.get("UPLOAD_SECRETS")}, store
        ),
        **_filled(secret_store=store),
        config_group=None if group.lower() in _NO_GROUP else group,
        apply="manual",
        interval=WATCHER_INTERVAL,
    )
    _unknown_keys(work, "MASTER_NODE", master, {"URL", "JWT", "UPLOAD_VARIABLES", "UPLOAD_SECRETS", "CONFIG_GROUP"})
    for extra, values in work.mapping("EXTRA_NODES").items():
        if not isinstance(values, dict):
            raise InputError(f"EXTRA_NODES {extra} must be a JSON object.", work.file)
        _extra(work, name, extra, values)
    _habits(work)


def _extra(work: Work, master: str, extra: str, values: Mapping[str, Any]) -> None:
    name = name_of(extra)
    prefix = f"EXTRA_NODES {extra}:"
    url = https_url(
        work.plain(f"{prefix} EXTRA_NODE_GIT_URL", values.get("EXTRA_NODE_GIT_URL"), f"{NOWHERE}/{name}.git")
    )
    repository = _repository_name(url)
    if any(one["name"] == repository and one["url"] != url for one in work.out.sections["repositories"]):
        repository = f"{repository}-{name}"
    token = f"EXTRA_NODE_GIT_TOKEN of {extra}"
    username = work.plain(f"{prefix} EXTRA_NODE_GIT_USERNAME", values.get("EXTRA_NODE_GIT_USERNAME"))
    access = work.secret("access_token", f"{repository}.token", values.get("EXTRA_NODE_GIT_TOKEN"), token)
    if all(one["name"] != repository for one in work.out.sections["repositories"]):
        work.add("repositories", name=repository, url=url, username=username or "x-access-token", **access)
    path = work.plain(
        f"{prefix} EXTRA_NODE_TEMPLATE_PATH", values.get("EXTRA_NODE_TEMPLATE_PATH"), f"extra_nodes/{name}/"
    )
    branch = work.plain(f"{prefix} EXTRA_NODE_GIT_BRANCH", values.get("EXTRA_NODE_GIT_BRANCH"), DEFAULT_BRANCH)
    work.add(
        "extra_nodes",
        master=master,
        name=name,
        template_path=path,
        proxy=is_true(values.get("PROXY_NODE")),
        repository=repository,
        branch=branch,
    )
    _unknown_keys(work, prefix.removesuffix(":"), values, _EXTRA_KEYS)


_EXTRA_KEYS = {"PROXY_NODE", *(f"EXTRA_NODE_{key}" for key in (
    "GIT_URL", "GIT_USERNAME", "GIT_TOKEN", "GIT_BRANCH", "TEMPLATE_PATH",
))}  # fmt: skip


def _master_access(work: Work, master: Mapping[str, Any], name: str) -> dict[str, Any]:
    url = work.plain("MASTER_NODE's URL", master.get("URL"), f"{NOWHERE}")
    url = url if "://" in url else f"https://{url}"
    address(url)
    url = url.rstrip("/") if url.rstrip("/").endswith("/api") else f"{url.rstrip('/')}/api"
    if NOWHERE in url:
        work.note("fill in the node's url: MASTER_NODE has none.")
    return {"url": url, **work.secret("jwt", f"{name}.jwt", master.get("JWT"), "MASTER_NODE's JWT")}


def _variables(work: Work, stage: str) -> list[str]:
    uploaded = work.text("UPLOAD_VARIABLES_FROM_FILE")
    verified = [one.strip() for one in work.text("VERIFY_VARIABLES_FROM_FILES").split(";") if one.strip()]
    if stage == "ci" and uploaded:
        work.note(f"UPLOAD_VARIABLES_FROM_FILE ({uploaded}) has no meaning for ci, which uploads nothing.")
    elif stage != "ci" and verified:
        work.note(f"VERIFY_VARIABLES_FROM_FILES ({', '.join(verified)}) counted for ci alone.")
    return verified if stage == "ci" else [uploaded] if uploaded else []


def _chosen(work: Work, wanted: Mapping[str, Any], store: str) -> list[str]:
    chosen = [what for what, value in wanted.items() if is_true(value)]
    if "secrets" in chosen and not store:
        chosen.remove("secrets")
        work.note("secrets were to be verified or uploaded, but VAULT_URL is missing: declare a secret store, add it.")
    return chosen


def _habits(work: Work) -> None:
    """What was a variable there and is something else here."""
    if work.flag("DRY_RUN"):
        work.note(
            "DRY_RUN was on: `manage.py sesam plan` shows what a sync would do, and syncs are by hand (apply: manual)."
        )
    if work.has("SLACK_API_TOKEN", "SLACK_CHANNEL", "RELEASE_URL"):
        for name in ("SLACK_API_TOKEN", "SLACK_CHANNEL", "RELEASE_URL"):
            work.take(name)
        work.note(
            "SLACK_API_TOKEN, SLACK_CHANNEL, RELEASE_URL were left out: each run has its page, with the difference."
        )


def _store(work: Work) -> str:
    """The name of the Vault, once it is declared; empty without one."""
    url, mount = work.text("VAULT_URL"), work.text("VAULT_MOUNTING_POINT")
    prefix, token = work.text("VAULT_PATH_PREFIX"), work.take("VAULT_GIT_TOKEN")
    if not url:
        return ""
    access = work.secret("token", "vault.token", token, "VAULT_GIT_TOKEN")
    work.add(
        "secret_stores", name="vault", url=url, kv_version=2, mount=mount or "secret",
        **_filled(path_prefix=prefix), auth="github", **access,
    )  # fmt: skip
    return "vault"


def _node_url(work: Work, url: str) -> str:
    if address(url).hostname != INSIDE:
        return url
    work.note(f"fill in the node's url as the panel reaches it: {url} is known inside the node only.")
    return f"https://{NOWHERE}/api"


def _url_to_fill_in(work: Work, head: str = "https://") -> str:
    work.note("fill in the repository's url (or name it with --repository-url): the variables do not say it.")
    return f"{head}{NOWHERE}{':' if head == 'git@' else '/'}conf.git"


def _branch(work: Work) -> str:
    tag, branch = work.text("TAG"), work.text("BRANCH")
    if not tag and not branch:
        work.note(f"no branch is named, so it is {DEFAULT_BRANCH}, as it was.")
    return tag or branch or DEFAULT_BRANCH


def _interval(work: Work) -> int:
    said = work.text("SLEEP_INTERVAL", str(WATCHER_INTERVAL))
    if said.isdecimal() and int(said) >= 5:
        return int(said)
    work.note(f"SLEEP_INTERVAL is {said}, which is no number of seconds from 5 on: {WATCHER_INTERVAL} was taken.")
    return WATCHER_INTERVAL


def _protected(work: Work) -> list[str]:
    """The watcher's own system, which lives on the node and is not in Git: by its file's name, and by its id."""
    path = work.text("AUTODEPLOYER_PATH")
    own = str(work.values.get(SYSTEM_ID, ""))
    ids = {PurePosixPath(path).name.removesuffix(".json").removesuffix(".conf"), own}
    if not path and not own:
        work.note("AUTODEPLOYER_PATH is missing: name the old tool's own system in protected, while it is on the node.")
    return sorted(ids - {""})


def _repository_name(url: str) -> str:
    return name_of(url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git"))


def _unknown_keys(work: Work, where: str, values: Mapping[str, Any], known: set[str]) -> None:
    for key in values:
        if key not in known:
            work.note(f"{where}: {key} is not known to the panel and was left out.")


def _filled(**values: Any) -> dict[str, Any]:
    """Those that say something."""
    return {key: value for key, value in values.items() if value}
