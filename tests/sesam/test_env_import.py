"""Moving over: environment variables of the two older tools become a declaration that applies."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.access.errors import InputError
from apps.sesam.env_import import env_import
from apps.sesam.env_text import env_read, json_lenient
from apps.sesam.env_work import https_url
from apps.sesam.models import ExtraNode, Node
from tests.declaration.conftest import Apply, apply, folder

__all__ = ["apply", "folder"]

# As people have it: a comma is missing after the second line.
SYSTEM = """\
{
  "_id": "watcher",
  "type": "system:microservice",
  "docker": {
    "environment": {
      "BRANCH": "master",
      "AUTODEPLOYER_PATH": "systems/github-autodeployer.conf.json"
      "GIT_REPO": "$ENV(git_repo)",
      "JWT": "$SECRET(jwt)",
      "DEPLOY_TOKEN": "$SECRET(deploy-token)",
      "SESAM_API_URL": "https://b893jus.sesam.cloud/api",
      "SYNC_ROOT": "sesam-home/sesam-node"
    },
    "image": "sesamcommunity/github-autodeployer:latest",
    "port": 5000
  }
}
"""
# Commas after values, one missing, a word in quotes as a name, angle brackets.
PIPELINE = """\
PYTHONUNBUFFERED=1,
LOG_LEVEL="DEBUG",
NODE_FOLDER="template_node_root_folder",
VERIFY_SECRETS=true,
VAULT_GIT_TOKEN="***",
VAULT_MOUNTING_POINT="sesam/kv2",
VAULT_URL="https://vault.<org>.io",
VAULT_PATH_PREFIX="manual/"
MASTER_NODE={
  "URL": "datahub-<url>.sesam.cloud",
  "JWT": "***",
  "UPLOAD_VARIABLES": true,
  "UPLOAD_SECRETS": true,
  "CONFIG_GROUP": "None-By-Default"
},
EXTRA_NODES={
  "<extra-node-name>": {
    "EXTRA_NODE_GIT_URL": "github.com/<user/org>/<repo>.git",
    "EXTRA_NODE_GIT_USERNAME": "<user>",
    "EXTRA_NODE_GIT_TOKEN": "***",
    "EXTRA_NODE_TEMPLATE_PATH": "extra_nodes/<extra-node-name>/"
  }
}
VERIFY_VARIABLES=true,
ENVIRONMENT=test,
"DRY_RUN": true
"""
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----"


def taken(text: str, **more: Any) -> tuple[dict[str, Any], str]:
    """The sections, as the YAML says them, and the notes."""
    imported = env_import(text, file="old.env", **more)
    read = yaml.safe_load(imported.as_yaml())
    assert isinstance(read, dict)
    return read, "\n".join(imported.notes)


def test_a_watchers_system_becomes_a_node_that_heals() -> None:
    read, notes = taken(SYSTEM, repository_url="git@github.com:some-community/your-repo.git")
    assert read["nodes"] == [
        {
            "name": "b893jus",
            "url": "https://b893jus.sesam.cloud/api",
            "jwt_file": "b893jus.jwt",
            "repository": "your-repo",
            "branch": "master",
            "layout": "single",
            "sync_root": "sesam-home/sesam-node",
            "apply": "heal",
            "interval": 60,
            "protected": ["github-autodeployer", "watcher"],
        }
    ]
    assert read["repositories"] == [
        {
            "name": "your-repo",
            "url": "git@github.com:some-community/your-repo.git",
            "ssh_key": "your-repo-deploy-key",
        }
    ]
    assert read["ssh_keys"] == [{"name": "your-repo-deploy-key", "private_key_file": "your-repo-deploy-key.key"}]
    assert "JWT is $SECRET(jwt)" in notes
    assert "GIT_REPO is $ENV(git_repo): fill in" in notes
    assert "host keys are verified" in notes


def test_a_pipelines_variables_become_a_master_its_vault_and_its_extra_nodes() -> None:
    read, notes = taken(PIPELINE, repository_url="https://github.com/org/conf.git")
    assert read["secret_stores"] == [
        {
            "name": "vault",
            "url": "https://vault.org.io",
            "kv_version": 2,
            "mount": "sesam/kv2",
            "path_prefix": "manual/",
            "auth": "github",
            "token_file": "vault.token",
        }
    ]
    assert read["nodes"] == [
        {
            "name": "master",
            "url": "https://datahub-url.sesam.cloud/api",
            "jwt_file": "master.jwt",
            "repository": "conf",
            "branch": "master",
            "layout": "multi",
            "sync_root": "template_node_root_folder",
            "environment": "test",
            "verify": ["variables", "secrets"],
            "upload": ["variables", "secrets"],
            "secret_store": "vault",
            "config_group": None,
            "apply": "manual",
            "interval": 60,
        }
    ]
    assert read["extra_nodes"] == [
        {
            "master": "master",
            "name": "extra-node-name",
            "template_path": "extra_nodes/extra-node-name/",
            "proxy": False,
            "repository": "repo",
            "branch": "master",
        }
    ]
    assert "DRY_RUN was on" in notes
    assert "MASTER_NODE's JWT is ***" in notes
    assert "VAULT_URL is https://vault.<org>.io: fill in" in notes


@pytest.mark.django_db
@pytest.mark.parametrize("text", [SYSTEM, PIPELINE, f"GIT_REPO=git@git.example:a/b.git\nDEPLOY_TOKEN={KEY}\nJWT=x.y.z"])
def test_what_is_printed_applies_once_its_files_are_there(apply: Apply, folder: Path, text: str) -> None:
    printed = env_import(text, file="old.env", repository_url="git@git.example:a/b.git").as_yaml()
    for section in yaml.safe_load(printed).values():
        for entry in section:
            for key in [key for key in entry if key.endswith("_file")]:
                secret = (folder / "id_ed25519").read_bytes() if key == "private_key_file" else b"quiet-word"
                (folder / entry[key]).write_bytes(secret)
    apply(printed)
    assert apply(printed).summary() == "nothing to change"
    node = Node.objects.get()
    assert node.jwt == "quiet-word"
    assert node.repository is not None
    assert ExtraNode.objects.count() == (1 if text is PIPELINE else 0)


@pytest.mark.django_db
def test_secrets_are_printed_only_when_asked_and_then_apply(apply: Apply, folder: Path) -> None:
    key = (folder / "id_ed25519").read_text()
    text = f"GIT_REPO=git@git.example:a/b.git\nSESAM_API_URL=https://n.example/api\nDEPLOY_TOKEN='{key}'\nJWT=x.y.z"
    assert "x.y.z" not in env_import(text, file="old.env").as_yaml()
    printed = env_import(text, file="old.env", with_secrets=True).as_yaml()
    assert "jwt: x.y.z" in printed
    apply(printed)
    assert Node.objects.get().jwt == "x.y.z"


def test_a_token_turns_an_ssh_address_into_https() -> None:
    text = "GIT_REPO=git@github.com:org/conf.git\nGIT_USERNAME=bot\nDEPLOY_TOKEN=quiet\nSESAM_API_URL=https://n.example"
    read, _ = taken(text)
    assert read["repositories"] == [
        {"name": "conf", "url": "https://github.com/org/conf.git", "username": "bot", "access_token_file": "conf.token"}
    ]
    assert "ssh_keys" not in read


def test_further_variables_of_a_watcher_count() -> None:
    read, notes = taken(
        "GIT_REPO=https://git.example/conf.git\nTAG=1.0.5\nBRANCH=main\nSLEEP_INTERVAL=15\nORCHESTRATOR=true\noff=true\n"
        "VARIABLES_FILE_PATH=variables/variables-prod.json\nVERIFY_SSL=false\n"
        "VAULT_URL=https://vault.example\nVAULT_MOUNTING_POINT=kv\nVAULT_GIT_TOKEN=quiet\nMYSTERY=1\n",
        name="edge",
    )
    (node,) = read["nodes"]
    assert node["name"] == "edge"
    assert (node["branch"], node["interval"], node["enabled"], node["orchestrator"]) == ("1.0.5", 15, False, True)
    assert node["variables"] == ["variables/variables-prod.json"]
    assert node["verify"] == node["upload"] == ["variables", "secrets"]
    assert "TLS was not verified" in notes
    assert "MYSTERY" in notes
    assert "known inside the node only" in notes
    assert "quiet" not in notes


def test_further_variables_of_a_pipeline_count() -> None:
    read, notes = taken(
        "NODE_FOLDER=.\nENVIRONMENT=CI\nVERIFY_VARIABLES=true\nVERIFY_SECRETS=true\n"
        "VERIFY_VARIABLES_FROM_FILES=a.json;b.json\nUPLOAD_VARIABLES_FROM_FILE=c.json\nWHITELIST_FILE_PATH=w.txt\n"
        'EXTRA_NODES=\'{"x": {"PROXY_NODE": "True", "EXTRA_NODE_GIT_URL": "git.example/x.git", "ODD": 1}}\'\n'
    )
    (node,) = read["nodes"]
    assert (node["environment"], node["variables"], node["whitelist"]) == ("ci", ["a.json", "b.json"], "w.txt")
    assert "url" not in node
    assert "sync_root" not in node
    assert node["verify"] == ["variables"]
    assert read["extra_nodes"][0]["proxy"] is True
    for said in ("UPLOAD_VARIABLES_FROM_FILE (c.json)", "declare a secret store", "EXTRA_NODES x: ODD", "no branch"):
        assert said in notes


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A='b c'", "b c"),
        ('A="b\\nc" # d', "b\nc"),
        ("A=b # c", "b"),
        ("A=b#c,", "b#c"),
        ("A=", ""),
        ("- A=b", "b"),
        ('"A": true,', "true"),
        ("A={'x'}", None),
        ('A={"x": [1, 2,],}', {"x": [1, 2]}),
        ('A={\n "x": 1\n "y": "}"\n}', {"x": 1, "y": "}"}),
        (f"A={KEY}", KEY),
        ("\ufeffA=b\r\n", "b"),
    ],
)
def test_spellings_of_one_variable(line: str, value: Any) -> None:
    if value is None:
        with pytest.raises(InputError, match=r"old\.env:1"):
            env_read(line, "old.env")
    else:
        assert env_read(line, "old.env") == {"A": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=1\nwhat is this", "old.env:2: NAME=VALUE is needed here"),
        ('A="open', "old.env:1: the quote that opens here is never closed"),
        ("B=1\nA={", "old.env:2: the bracket that opens here is never closed"),
        ("A='b' c", "this follows a value that has ended"),
        ("A=-----BEGIN RSA PRIVATE KEY-----\nx", "has no end"),
        ("{", "old.env:1: this is not JSON"),
        ("A=1", "no GIT_REPO and no MASTER_NODE"),
        ("NODE_FOLDER=x\nMASTER_NODE=[1]", "MASTER_NODE must be a JSON object"),
        ("", "no GIT_REPO"),
        ("GIT_REPO=a\0b", "NUL"),
        ('{"GIT_REPO": "a\\u0000b"}', "GIT_REPO has a NUL byte"),
        ('{"GIT_REPO": {"a": 1}}', "GIT_REPO must be one value, not an object"),
        ('{"MASTER_NODE": {"URL": [1, 2]}}', "MASTER_NODE's URL must be one value, not a list"),
        ('{"MASTER_NODE": {"JWT": {}}}', "MASTER_NODE's JWT must be one value"),
        ('{"MASTER_NODE": {"URL": "x:y:z]"}}', "cannot be an address"),
        ('{"MASTER_NODE": {}, "EXTRA_NODES": {"a": 5}}', "EXTRA_NODES a must be a JSON object"),
        ('{"MASTER_NODE": {}, "EXTRA_NODES": {"a": {"EXTRA_NODE_GIT_URL": "http://[bad"}}}', "cannot be an address"),
        ("SESAM_API_URL=http://[bad/api", "'http://[bad/api' cannot be an address"),
        ("SESAM_API_URL=http://node:port/api", "cannot be an address"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        env_import(text, file="old.env")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("url", "https"),
    [
        ("git@github.com:org/conf.git", "https://github.com/org/conf.git"),
        ("ssh://git@github.com:22/org/conf.git", "https://github.com/org/conf.git"),
        ("https://git.example:8443/conf.git", "https://git.example:8443/conf.git"),
        ("https://user@git.example/conf.git", "https://git.example/conf.git"),
        ("github.com/org/conf.git", "https://github.com/org/conf.git"),
    ],
)
def test_addresses_become_https(url: str, https: str) -> None:
    assert https_url(url) == https


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="AB=:{}[]\"',#\\ \n-x1$.", max_size=60))
def test_junk_is_never_a_traceback(text: str) -> None:
    with suppress(InputError):
        env_import(f"GIT_REPO=https://g.example/a.git\n{text}", file="old.env").as_yaml()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "x", "[", "h://[a", "$ENV(a)", "a:b:c", "\0", "/"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "URL", ""]), inner, max_size=2),
    max_leaves=3,
)
NAMES = [
    "GIT_REPO",
    "SESAM_API_URL",
    "MASTER_NODE",
    "EXTRA_NODES",
    "BRANCH",
    "AUTODEPLOYER_PATH",
    "DEPLOY_TOKEN",
    "TAG",
]
EXTRA = st.fixed_dictionaries({}, optional={f"EXTRA_NODE_GIT_{name}": VALUES for name in ("URL", "BRANCH", "TOKEN")})
MASTER = st.fixed_dictionaries({}, optional=dict.fromkeys(("URL", "JWT", "CONFIG_GROUP"), VALUES))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.none() | MASTER, st.none() | EXTRA)
def test_json_of_any_shape_is_never_a_traceback(values: dict[str, Any], master: Any, extra: Any) -> None:
    given = values | ({"MASTER_NODE": master} if master else {}) | ({"EXTRA_NODES": {"e": extra}} if extra else {})
    with suppress(InputError):
        env_import(json.dumps(given), file="old.json").as_yaml()


def test_a_token_without_a_user_is_a_deploy_key_wherever_its_repository_is() -> None:
    read, _ = taken('{"environment": {"GIT_REPO": "$ENV(git_repo)", "DEPLOY_TOKEN": "$SECRET(deploy-token)"}}')
    assert read["repositories"] == [
        {"name": "conf", "url": "git@fill-in.example:conf.git", "ssh_key": "conf-deploy-key"}
    ]


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists))
def test_good_json_stays_what_it_is(value: Any) -> None:
    assert json_lenient(json.dumps(value, indent=1), "x") == value
