"""Everything that can be wrong with a declaration, with the line where it is."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.models import SshKey
from apps.environments.models import Cluster, Host
from deploypanel.declaration.document import DeclarationError
from tests.declaration.conftest import FULL, Apply, problems

pytestmark = pytest.mark.django_db

CASES = {
    "empty": ("", "the file is empty"),
    "no yaml": ("hosts: [{name: web1", "1:20: this is not YAML: while parsing a flow mapping"),
    "a tab": ("hosts:\n\t- name: x", "2:1: this is not YAML"),
    "two documents": ("hosts: []\n---\nhosts: []", "2:1: this is not YAML"),
    "not utf-8": (b"hosts: []\nclusters: [\xff]", "2:1: the file is not UTF-8 text"),
    "too deep": ("[" * 5000, "lists and mappings are nested too deep"),
    "a list": ("- hosts", "1:1: a mapping is needed here, not a list"),
    "unknown section": ("host: []", "1:7: host: there is no such section; did you mean 'hosts'?"),
    "unknown key": (
        "clusters:\n  - name: blue\n    host: [web1]",
        "3:11: clusters[0].host: no such key in clusters; did you mean 'hosts'?",
    ),
    "section of wrong type": ("clusters: blue", "1:11: clusters: a list is needed here, not text ('blue')"),
    "entry of wrong type": ("clusters: [blue]", "1:12: clusters[0]: a mapping is needed here, not text ('blue')"),
    "no name": ("clusters: [{hosts: []}]", "1:12: clusters[0]: name is missing"),
    "empty name": ("clusters: [{name: ''}]", "1:19: clusters[0].name: this field cannot be blank"),
    "null name": ("clusters: [{name: }]", "1:18: clusters[0].name: cannot be empty"),
    "bad name": ("clusters: [{name: 'a/b'}]", "1:19: clusters[0].name: use letters, digits, dots"),
    "twice": ("clusters:\n- {name: a}\n- {name: a}", "3:3: clusters[1]: a cluster called 'a' is on line 2 already"),
    "key twice": (
        "clusters: [{name: a, hosts: [],\n  hosts: []}]",
        "2:3: clusters[0].hosts: is given twice (first on line 1)",
    ),
    "unknown reference": (
        "hosts: [{name: web1}]\nclusters: [{name: a, hosts: [web1, web2]}]",
        "2:36: clusters[0].hosts[1]: no host is called 'web2'; did you mean 'web1'?",
    ),
    "reference of wrong type": (
        "clusters: [{name: a, hosts: web1}]",
        "1:29: clusters[0].hosts: a list is needed here, not text ('web1')",
    ),
    "number as text": (
        "hosts: [{name: web1, port: '22'}]",
        "1:28: hosts[0].port: a whole number is needed here, not text ('22')",
    ),
    "number that is none": (
        "hosts: [{name: web1, port: 1_0}]",
        "1:28: hosts[0].port: a whole number is needed here, not a number ('1_0')",
    ),
    "number too high": (
        "hosts: [{name: web1, port: 70000}]",
        "1:28: hosts[0].port: ensure this value is less than or equal to 65535",
    ),
    "boolean": ("hosts: [{name: web1, active: 1}]", "1:30: hosts[0].active: true or false is needed here"),
    "text": ("hosts: [{name: web1, address: [a]}]", "1:31: hosts[0].address: text is needed here, not a list"),
    "missing": ("hosts: [{name: web1}]", "1:9: hosts[0]: address is missing"),
    "missing secret": ("ssh_keys: [{name: k}]", "1:12: ssh_keys[0]: private_key or private_key_file is missing"),
    "no file": (
        "ssh_keys: [{name: k, private_key_file: nowhere/key}]",
        "1:40: ssh_keys[0].private_key_file: nowhere/key: cannot be read (No such file or directory)",
    ),
    "a folder": (
        "ssh_keys: [{name: k, private_key_file: .}]",
        "1:40: ssh_keys[0].private_key_file: .: cannot be read (Is a directory)",
    ),
    "password file": (
        "users: [{name: a, password_file: /nowhere}]",
        "1:34: users[0].password_file: /nowhere: cannot be read (No such file or directory)",
    ),
    "both": (
        "users: [{name: a, password: x, password_file: password}]",
        "1:47: users[0].password_file: give password or password_file, not both",
    ),
    "nothing to keep": (
        "ssh_keys: [{name: k, private_key: (kept)}]",
        "1:35: ssh_keys[0].private_key: there is nothing to keep: no SSH key of this name exists.",
    ),
    "bad choice": (
        "environments: [{repository: r, name: n, path: /p, method: symlnk}]",
        "1:59: environments[0].method: 'symlnk' is none of inplace, symlink; did you mean 'symlink'?",
    ),
    "bad permission": (
        "users: [{name: a, grants: [{environment: r/n, permission: deploi}]}]",
        "1:59: users[0].grants[0].permission: no right is called 'deploi'",
    ),
    "grant on nothing": (
        "users: [{name: a, grants: [{permission: deploy}]}]",
        "1:28: users[0].grants[0]: a grant names one environment, repository, node or trigger, and a permission",
    ),
    "grant on unknown": (
        "users: [{name: a, grants: [{environment: shop/prod, permission: deploy}]}]",
        "1:42: users[0].grants[0].environment: no environment is called 'shop/prod'",
    ),
    "bad time": (
        "business_hours: [{name: o, timezone: UTC, half_day_until: noon}]",
        "1:59: business_hours[0].half_day_until: 'noon' is no time of day such as 12:00",
    ),
    "NUL": ('clusters: [{name: "a\\0"}]', "1:19: clusters[0].name: text cannot hold the character NUL"),
}


@pytest.mark.parametrize("case", CASES)
def test_problem_is_named_with_its_place(apply: Apply, case: str) -> None:
    text, wanted = CASES[case]
    found = problems(apply, text)
    assert any(line.strip().lower().startswith(wanted.lower()) for line in found), found


def test_problems_are_all_listed_at_once_in_order(apply: Apply) -> None:
    found = problems(
        apply,
        """\
hosts:
  - {name: web1, adress: 127.0.0.1, port: high, user: deploy, ssh_key: fleet}
clusters:
  - {name: blue, hosts: [web1, web2]}
  - {name: "a b"}
environment: []
""",
    )
    assert [line.split(":")[0] for line in found] == ["2", "2", "2", "2", "4", "5", "6"]


@pytest.mark.parametrize(
    ("good", "bad", "wanted"),
    [
        ("jump_host: gate", "jump_host: web1", "6:91: hosts[0].jump_host: the jump hosts go round in a circle"),
        (
            "name: gate, address: 127.0.0.1",
            "name: gate, address: -oProxyCommand=x",
            "7:27: hosts[1].address: a host name",
        ),
        ("path: /srv/shop", "path: srv/shop", "11:56: environments[0].path: an absolute path is needed"),
        ('"-az --delete"', '"-az -e sh"', "12:72: environments[0].rsync_options:"),
        ("deploy_as: auto", "deploy_as: ", "12:35: environments[0].deploy_as: automatic deployments need an account"),
        ("Europe/Paris", "Europe/Atlantis", "3:30: business_hours[0].timezone:"),
        ('mon: "08:00', 'mon: "8h', "3:65: business_hours[0].weekly:"),
        ('"file:///srv/git/shop.git"', '"ftp://x"', "9:35: repositories[0].url:"),
        ("port: 2201", "host_key: ssh-ed25519 AAAA", "6:48: hosts[0].host_key: line 1: the key is cut or changed"),
        (
            "private_key_file: id_ed25519",
            "private_key_file: password",
            "1:49: ssh_keys[0].private_key_file: this is not",
        ),
    ],
)
def test_problem_of_the_model_as_a_whole_has_its_place(apply: Apply, good: str, bad: str, wanted: str) -> None:
    found = problems(apply, FULL.replace(good, bad))
    assert any(line.lower().startswith(wanted.lower()) for line in found), found


def test_problems_refuse_the_whole_file(apply: Apply) -> None:
    problems(apply, FULL + "freezer: []\n")
    assert not SshKey.objects.exists()
    assert not Host.objects.exists()


def test_error_prints_file_and_line(apply: Apply) -> None:
    with pytest.raises(DeclarationError) as raised:
        apply("hosts: [{name: web1, port: x}]\nclustrs: []")
    assert str(raised.value).splitlines()[-1] == (
        "shop.yaml:2:10: clustrs: there is no such section; did you mean 'clusters'?"
    )


def test_anchors_and_merges_are_understood(apply: Apply) -> None:
    apply(
        """\
ssh_keys: [{name: fleet, private_key_file: id_ed25519}]
hosts:
  - &web {name: web1, address: 127.0.0.1, user: deploy, ssh_key: fleet, port: 2201}
  - {<<: *web, name: web2, port: 2202}
clusters: [{name: NO, hosts: [web2, web1]}]
"""
    )
    assert list(Host.objects.values_list("name", "port", "user")) == [
        ("web1", 2201, "deploy"),
        ("web2", 2202, "deploy"),
    ]
    assert Cluster.objects.get().name == "NO"  # as written, not as YAML's `false`


def test_anchor_within_itself_ends(apply: Apply) -> None:
    assert problems(apply, "hosts: &a\n  - *a\n")
    assert problems(apply, "hosts:\n  - &a {<<: *a, name: *a}\n")


YAML_CHARACTERS = st.text(alphabet="abhostsname:[]{}&*!|>-? \n\t'\"\\,#%@`0123~<=é\0", max_size=60)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
SECTION_NAMES = [
    "ssh_keys",
    "hosts",
    "clusters",
    "users",
    "groups",
    "repositories",
    "environments",
    "business_hours",
    "triggers",
    "agents",
]
KEYS = [
    "name",
    "hosts",
    "ssh_key",
    "port",
    "grants",
    "weekly",
    "password",
    "repository",
    "path",
    "environment",
    "private_key",
    "secret",
    "schedule",
    "rate_limit",
    "on_push",
    "after",
    "build_script",
]
RULES = st.recursive(
    PLAIN,
    lambda inner: (
        st.dictionaries(st.sampled_from(["all", "any", "not", "equals", "matches", "present"]), inner, max_size=2)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)
DOES = st.dictionaries(
    st.sampled_from(["agents", "deploy", "sync", "script", "hosts", "cluster", "commit_from", "when"]),
    RULES,
    max_size=4,
)
ENTRIES = st.dictionaries(st.sampled_from(KEYS), PLAIN, max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=YAML_CHARACTERS | st.binary(max_size=40))
def test_junk_is_never_a_traceback(apply: Apply, text: str | bytes) -> None:
    with suppress(DeclarationError):
        apply(text.encode() if isinstance(text, str) else text, dry_run=True)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.dictionaries(st.sampled_from(SECTION_NAMES), st.lists(ENTRIES, max_size=3), max_size=4),
    remove=st.booleans(),
)
def test_nonsense_of_the_right_shape_is_never_a_traceback(
    apply: Apply, document: dict[str, object], remove: bool
) -> None:
    with suppress(DeclarationError):
        apply(json.dumps(document), dry_run=True, remove=remove)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(does=st.lists(DOES, max_size=3))
def test_nonsense_in_what_a_trigger_does_is_never_a_traceback(apply: Apply, does: list[dict[str, object]]) -> None:
    with suppress(DeclarationError):
        apply(json.dumps({"triggers": [{"name": "web", "does": does}]}), dry_run=True)
