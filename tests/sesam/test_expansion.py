"""Shares and replicas of a multi-node repository, as tables; the example that people know, whole."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sesam.expansion import ExtraSpec, expand
from apps.sesam.shares import Replica
from tests.sesam.multinode import MASTER, TEMPLATES, expanded, ids, pipe, repository_files, source_of, system, told

IN, OUT = "##INBOUND_PARENT_PIPE.{}##", "##OUTBOUND_PARENT_PIPE.{}##"

# Two nodes: the master's customers go to the extra node, the extra node's orders come to the master.
CUSTOMERS = pipe("customers", schedule=30, writes="all-customers")
BILLING = pipe("billing", reads=["orders", "customers-at-home"], pump={"schedule_interval": 60})
ALONE = pipe("alone")
ORDERS = pipe("orders", node="eidsiva", source={"type": "sql", "system": "shop-db", "table": 'the "orders"'})
SHIPPING = pipe("shipping", reads=["all-customers"], node="eidsiva", batch_size=7)
IDLE = pipe("idle", node="eidsiva")
SHOP_DB = system("shop-db", node="eidsiva", password="$SECRET(shop)", host="$ENV(shop-host)")
CRM = system("crm")
EXAMPLE = [CUSTOMERS, BILLING, ALONE, ORDERS, SHIPPING, IDLE, SHOP_DB, CRM]

FULL: dict[str, Any] = {
    # The extra node posts what it has to an endpoint of the master's …
    "pipe_on_extra_from_extra_to_master": {
        "_id": "##REPLACE_ID##-to-master",
        "type": "pipe",
        "source": {"type": "dataset", "dataset": "##REPLACE_ID##"},
        "sink": {"type": "json", "system": "master", "url": "/receivers/##REPLACE_ID##/entities"},
        "metadata": {"table": IN.format("source.table"), "billed every": OUT.format("pump.schedule_interval")},
    },
    "pipe_on_master_from_extra_to_master": {
        "_id": "##REPLACE_ID##",
        "type": "pipe",
        "source": {"type": "http_endpoint"},
        "metadata": {"comment": "From " + IN.format("metadata.node") + " for " + OUT.format("_id")},
    },
    # … and fetches what it needs from there, by two entities at once.
    "pipe_on_extra_from_master_to_extra": [
        {
            "_id": "##REPLACE_ID##-from-master",
            "type": "pipe",
            "source": {"type": "json", "system": "master-##REPLACE_ID##", "url": IN.format("sink.dataset")},
            "batch_size": OUT.format("batch_size"),
        },
        {"_id": "master-##REPLACE_ID##", "type": "system:url", "url_pattern": "$ENV(master-url)/%s"},
    ],
    "pipe_on_master_from_master_to_extra": {
        "_id": "##REPLACE_ID##-endpoint",
        "type": "pipe",
        "source": {"type": "dataset", "dataset": IN.format("sink.dataset")},
        "sink": {"type": "http_endpoint"},
    },
    "system_on_extra_from_extra_to_master": {
        "_id": "master",
        "type": "system:url",
        "url": "$ENV(url-of-##REPLACE_ID##)",
    },
    # A list of systems on the extra node belongs to the extra node.
    "system_on_extra_from_master_to_extra": [
        {"_id": "##REPLACE_ID##-a", "type": "system:url"},
        {"_id": "##REPLACE_ID##-b", "type": "system:url"},
    ],
    "system_on_master_from_extra_to_master": {"_id": "receives-from-##REPLACE_ID##", "type": "system:url"},
    "system_on_master_from_master_to_extra": [{"_id": "sends-to-##REPLACE_ID##", "type": "system:url"}],
    "node-metadata": {"_id": "node", "type": "metadata", "task_manager": {"max": "$ENV(tasks)"}},
}
VARIABLES = {"shop-host": "db", "tasks": 4, "url-of-datahub": "https://m", "base": "b", "only-master": 1}


def test_the_whole_example() -> None:
    done = expanded(EXAMPLE, FULL, variables=VARIABLES)
    assert told(done) == []
    assert done.unfound == ()
    assert ids(done) == [
        "alone", "billing", "crm", "customers", "customers-endpoint", "orders", "receives-from-eidsiva",
        "sends-to-eidsiva",
    ]  # fmt: skip
    assert ids(done, "eidsiva") == [
        "customers-from-master", "datahub-a", "datahub-b", "idle", "master", "master-customers", "node", "orders",
        "orders-to-master", "shipping", "shop-db",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "name", "value"),
    [
        (
            "eidsiva",
            "orders-to-master",
            {
                "_id": "orders-to-master",
                "type": "pipe",
                "source": {"type": "dataset", "dataset": "orders"},
                "sink": {"type": "json", "system": "master", "url": "/receivers/orders/entities"},
                "metadata": {"table": 'the "orders"', "billed every": 60},
            },
        ),
        (
            "",
            "orders",  # a replica in the place that the extra node's pipe has in ci
            {
                "_id": "orders",
                "type": "pipe",
                "source": {"type": "http_endpoint"},
                "metadata": {"comment": "From eidsiva for billing"},
            },
        ),
        (
            "eidsiva",
            "customers-from-master",
            {
                "_id": "customers-from-master",
                "type": "pipe",
                "source": {"type": "json", "system": "master-customers", "url": "all-customers"},
                "batch_size": 7,
            },
        ),
        (
            "eidsiva",
            "master-customers",
            {"_id": "master-customers", "type": "system:url", "url_pattern": "$ENV(master-url)/%s"},
        ),
        (
            "",
            "customers-endpoint",
            {
                "_id": "customers-endpoint",
                "type": "pipe",
                "source": {"type": "dataset", "dataset": "all-customers"},
                "sink": {"type": "http_endpoint"},
            },
        ),
        ("eidsiva", "master", {"_id": "master", "type": "system:url", "url": "$ENV(url-of-datahub)"}),
        ("eidsiva", "orders", ORDERS),
        ("", "customers", CUSTOMERS),
    ],
)
def test_an_entity_of_the_example(node: str, name: str, value: dict[str, Any]) -> None:
    assert expanded(EXAMPLE, FULL, variables=VARIABLES).shares[node].entities[name].value == value


def test_replicas_tell_where_they_come_from() -> None:
    done = expanded(EXAMPLE, FULL, variables=VARIABLES)
    assert done.shares[""].replicas == (
        Replica(
            id="customers-endpoint", kind="pipe", extra="eidsiva", inbound="customers", outbound="shipping",
            template=f"{TEMPLATES}pipe_on_master_from_master_to_extra.json",
        ),
        Replica(
            id="orders", kind="pipe", extra="eidsiva", inbound="orders", outbound="billing",
            template=f"{TEMPLATES}pipe_on_master_from_extra_to_master.json",
        ),
        Replica(
            id="receives-from-eidsiva", kind="system", extra="eidsiva",
            template=f"{TEMPLATES}system_on_master_from_extra_to_master.json",
        ),
        Replica(
            id="sends-to-eidsiva", kind="system", extra="eidsiva",
            template=f"{TEMPLATES}system_on_master_from_master_to_extra.json",
        ),
    )  # fmt: skip
    replica = done.shares["eidsiva"].entities["orders-to-master"]
    assert replica.file == f"{TEMPLATES}pipe_on_extra_from_extra_to_master.json"


def test_variables_go_where_they_are_used() -> None:
    done = expanded(EXAMPLE, FULL, variables=VARIABLES)
    assert done.shares[""].variables == VARIABLES
    # `master-url` is used and nowhere: to verify is another's work.
    assert done.shares["eidsiva"].variables == {
        "base": "b",
        "shop-host": "db",
        "tasks": 4,
        "url-of-datahub": "https://m",
    }


def test_proxy() -> None:
    templates = FULL | {
        "pipe_on_extra_from_extra_to_master": {"_id": "##REPLACE_ID##-to-master", "type": "pipe"},
        "pipe_on_master_from_extra_to_master": {"_id": "##REPLACE_ID##", "type": "pipe"},
    }
    done = expanded(EXAMPLE, templates, proxy=True, variables=VARIABLES)
    assert told(done) == []
    # Every pipe of its own but shipping, which the master feeds; nothing for the way there.
    assert ids(done) == ["alone", "billing", "crm", "customers", "idle", "orders"]
    assert ids(done, "eidsiva") == [
        "customers-from-master", "datahub-a", "datahub-b", "idle", "idle-to-master", "master", "master-customers",
        "node", "orders", "orders-to-master", "shipping", "shop-db",
    ]  # fmt: skip


def test_proxy_pipe_that_nobody_consumes_has_no_outbound_pipe() -> None:
    done = expanded(
        [ORDERS], {"pipe_on_master_from_extra_to_master": {"_id": OUT.format("_id"), "type": "pipe"}}, proxy=True
    )
    assert told(done) == [
        (
            f"! {TEMPLATES}pipe_on_master_from_extra_to_master.json:2: ##OUTBOUND_PARENT_PIPE._id## found nothing "
            "for pipe “orders”: there is no outbound pipe here."
        )
    ]


ONE = {"pipe_on_master_from_extra_to_master": {"_id": "##REPLACE_ID##-in", "type": "pipe"}}


@pytest.mark.parametrize(
    ("entities", "master"),
    [
        ([ORDERS, BILLING], ["billing", "orders-in"]),
        ([ORDERS, pipe("a", reads=["orders"])], ["a", "orders-in"]),
        ([ORDERS, pipe("a", reads=["other"])], ["a"]),
        ([ORDERS, pipe("a", reads=["orders"], node="eidsiva")], []),
        ([pipe("x", node="eidsiva", writes="d"), pipe("a", reads=["d"])], ["a", "x-in"]),
        ([pipe("x", node="eidsiva", writes="d"), pipe("a", reads=["x"])], ["a"]),
        # Read by many: one replica.
        ([ORDERS, *[pipe(f"a{n}", reads=["orders"]) for n in range(3)]], ["a0", "a1", "a2", "orders-in"]),
        # Systems have no flows.
        ([system("s", node="eidsiva"), pipe("a", reads=["s"])], ["a"]),
    ],
)
def test_what_becomes_a_replica(entities: list[dict[str, Any]], master: list[str]) -> None:
    assert ids(expanded(entities, ONE)) == master


@pytest.mark.parametrize("name", [name for name in FULL if name.startswith("pipe")])
def test_any_template_may_be_missing(name: str) -> None:
    fewer = {key: value for key, value in FULL.items() if key != name}
    done = expanded(EXAMPLE, fewer, variables=VARIABLES)
    assert told(done) == []
    both = sum(len(done.shares[node].replicas) for node in ("", "eidsiva"))
    assert both == 11 - (2 if name == "pipe_on_extra_from_master_to_extra" else 1)


def test_a_way_without_templates_is_told() -> None:
    done = expanded(EXAMPLE, {"node-metadata": FULL["node-metadata"]})
    assert told(done) == [
        f"{TEMPLATES}: There is no pipe template for what flows extra to master: orders.",
        f"{TEMPLATES}: There is no pipe template for what flows master to extra: customers.",
    ]


def test_no_templates_at_all() -> None:
    assert told(expanded([ORDERS]))[0].startswith(f"! {TEMPLATES}: No template lies here. There may be pipe_on_extra")


def test_several_consumers_lowest_id_counts() -> None:
    readers = [pipe("b", reads=["orders"]), pipe("a", reads=["orders"]), pipe("c", reads=["orders"])]
    done = expanded(
        [ORDERS, *readers], {"pipe_on_master_from_extra_to_master": {"_id": "for-" + OUT.format("_id"), "type": "pipe"}}
    )
    assert ids(done) == ["a", "b", "c", "for-a"]
    assert told(done) == [
        (
            f"{TEMPLATES}pipe_on_master_from_extra_to_master.json: 3 pipes consume “orders” (a, b, c); "
            "the outbound pipe is “a”, the lowest id."
        )
    ]
    assert told(expanded([ORDERS, *readers], ONE)) == []  # nobody asked which


MASTER_PIPE, EXTRA_PIPE = "pipe_on_master_from_extra_to_master", "pipe_on_extra_from_extra_to_master"
FLOW = [ORDERS, BILLING]


@pytest.mark.parametrize(
    ("entities", "templates", "sentence"),
    [
        (
            FLOW,
            {MASTER_PIPE: {"_id": "x", "type": "pipe", "a": [IN.format("source.gone.x")]}},
            (
                f"! {TEMPLATES}{MASTER_PIPE}.json:5: ##INBOUND_PARENT_PIPE.source.gone.x## found nothing for pipe "
                "“orders”: pipe “orders” has nothing at source.gone.x."
            ),
        ),
        (
            FLOW,
            {EXTRA_PIPE: {"_id": "x", "type": "pipe", "a": OUT.format("b")}},
            (
                f"! {TEMPLATES}{EXTRA_PIPE}.json:4: ##OUTBOUND_PARENT_PIPE.b## found nothing for pipe “orders”: "
                "pipe “billing” has nothing at b."
            ),
        ),
        (
            FLOW,
            {MASTER_PIPE: {"_id": "##REPLACE_IT##", "type": "pipe"}},
            (
                f"! {TEMPLATES}{MASTER_PIPE}.json:2: ##REPLACE_IT## found nothing for pipe “orders”: there is no such "
                "placeholder; there are ##REPLACE_ID##, ##INBOUND_PARENT_PIPE.a.b## and ##OUTBOUND_PARENT_PIPE.a.b##."
            ),
        ),
        (
            [CRM],
            {"system_on_extra_from_extra_to_master": {"_id": IN.format("_id"), "type": "system:url"}},
            (
                f"! {TEMPLATES}system_on_extra_from_extra_to_master.json:2: ##INBOUND_PARENT_PIPE._id## found nothing: "
                "there is no inbound pipe here."
            ),
        ),
        (
            FLOW,
            {MASTER_PIPE: {"_id": "billing", "type": "pipe"}},
            (
                f"! {TEMPLATES}{MASTER_PIPE}.json: datahub gets “billing” twice: the pipe that "
                f"{TEMPLATES}{MASTER_PIPE}.json makes for orders, and node/pipes/billing.conf.json. "
                "Put ##REPLACE_ID## into the template's _id."
            ),
        ),
        (
            FLOW,
            {EXTRA_PIPE: {"_id": "orders", "type": "pipe"}},
            (
                f"! {TEMPLATES}{EXTRA_PIPE}.json: eidsiva gets “orders” twice: the pipe that "
                f"{TEMPLATES}{EXTRA_PIPE}.json makes for orders, and node/pipes/orders.conf.json. "
                "Put ##REPLACE_ID## into the template's _id."
            ),
        ),
        (
            [*FLOW, pipe("more", node="eidsiva"), pipe("b", reads=["more"])],
            {MASTER_PIPE: {"_id": "x", "type": "pipe", "of": "##REPLACE_ID##"}},
            (
                f"! {TEMPLATES}{MASTER_PIPE}.json: datahub gets “x” twice: the pipe that {TEMPLATES}{MASTER_PIPE}.json "
                f"makes for orders, and the pipe that {TEMPLATES}{MASTER_PIPE}.json makes for more. "
                "Put ##REPLACE_ID## into the template's _id."
            ),
        ),
        (
            [*FLOW, pipe("more", node="eidsiva"), pipe("b", reads=["more"])],
            {MASTER_PIPE: {"_id": "x", "type": "system:url"}},
            (
                f"{TEMPLATES}{MASTER_PIPE}.json: datahub gets “x” twice: the system that {TEMPLATES}{MASTER_PIPE}.json "
                f"makes for orders, and the system that {TEMPLATES}{MASTER_PIPE}.json makes for more. "
                "Both are equal, so it is there once."
            ),
        ),
        (
            FLOW,
            {MASTER_PIPE: {"type": "pipe"}},
            f"! {TEMPLATES}{MASTER_PIPE}.json: What this template makes is no entity. It has no _id.",
        ),
        (
            FLOW,
            {MASTER_PIPE: {"_id": "a/##REPLACE_ID##", "type": "pipe"}},
            (
                f"! {TEMPLATES}{MASTER_PIPE}.json: What this template makes is no entity. "
                "Its _id “a/orders” cannot be a file's name."
            ),
        ),
        (
            FLOW,
            {MASTER_PIPE: {"_id": "x", "type": "pump"}},
            (
                f"! {TEMPLATES}{MASTER_PIPE}.json: What this template makes is no entity. "
                "Its type is “pump”; pipe, system:… or metadata is needed."
            ),
        ),
        (
            [CRM],
            {"node-metadata": {"_id": "node", "type": "pipe"}},
            f"! {TEMPLATES}node-metadata.conf.json: “node” has the type “pipe”; here metadata is needed.",
        ),
        (
            [*FLOW, pipe("lost", node="eidsva"), system("s", node="eidsva")],
            ONE,
            (
                "! node/pipes/lost.conf.json: metadata.node names “eidsva”, which is no extra node of this master "
                "(there are: eidsiva). Files: node/pipes/lost.conf.json, node/systems/s.conf.json."
            ),
        ),
        (
            [*FLOW, pipe("union", source={"type": "union_datasets", "datasets": ["orders"]})],
            ONE,
            (
                "node/pipes/union.conf.json: “union” reads “orders” by a source of type “union_datasets”; only dataset "
                "and merge are carried between nodes, and “orders” on eidsiva writes it."
            ),
        ),
    ],
)
def test_problem(entities: list[dict[str, Any]], templates: dict[str, Any], sentence: str) -> None:
    assert told(expanded(entities, templates)) == [sentence]


def test_an_entity_that_names_the_master() -> None:
    assert "What belongs to the master itself names nobody." in told(expanded([system("s", node=MASTER)], ONE))[0]


def test_unfound_placeholders_for_the_page() -> None:
    done = expanded(FLOW, {MASTER_PIPE: {"_id": "x", "type": "pipe", "a": IN.format("gone")}})
    lost = done.unfound[0]
    assert (lost.extra, lost.inbound, lost.placeholder, lost.line) == ("eidsiva", "orders", IN.format("gone"), 4)
    assert ids(done) == ["billing"]


def two_extras(*, shared: bool) -> list[ExtraSpec]:
    other = TEMPLATES if shared else "extra_nodes/other"
    return [ExtraSpec(name="other", template_path=other), ExtraSpec(name="eidsiva", template_path=TEMPLATES)]


def test_two_extra_nodes_share_templates() -> None:
    entities = [*EXAMPLE, pipe("stock", node="other"), pipe("b", reads=["stock"])]
    done = expanded(entities, FULL | {EXTRA_PIPE: {"_id": "##REPLACE_ID##-out", "type": "pipe"},
        MASTER_PIPE: {"_id": "##REPLACE_ID##", "type": "pipe"}}, extras=two_extras(shared=True))  # fmt: skip
    assert told(done) == []
    assert ids(done, "other") == ["datahub-a", "datahub-b", "master", "node", "stock", "stock-out"]
    assert {"sends-to-other", "sends-to-eidsiva", "stock", "orders"} <= set(ids(done))


def test_two_extra_nodes_make_the_same_on_the_master() -> None:
    templates = {
        "system_on_master_from_extra_to_master": {"_id": "fixed", "type": "system:url", "to": "##REPLACE_ID##"}
    }
    done = expanded([CRM], templates, extras=two_extras(shared=True))
    file = f"{TEMPLATES}system_on_master_from_extra_to_master.json"
    assert told(done)[0].startswith(f"! {file}: datahub gets “fixed” twice: the system that {file} makes")


def test_between_two_extra_nodes_nothing_is_carried() -> None:
    done = expanded([ORDERS, pipe("far", reads=["orders"], node="other")], ONE, extras=two_extras(shared=True))
    assert told(done) == [
        (
            "node/pipes/orders.conf.json: “orders” on eidsiva writes to “far” on other: "
            "templates carry nothing between two extra nodes."
        )
    ]


def test_ci_is_one_node() -> None:
    files = repository_files([*EXAMPLE, pipe("lost", node="nobody")], FULL)
    done = expand(source_of(files), master_name=MASTER, extras=two_extras(shared=True), ci=True)
    assert (list(done.shares), done.problems, done.shares[""].replicas) == ([""], (), ())
    assert len(done.shares[""].entities) == len(EXAMPLE) + 1


def test_no_extra_nodes() -> None:
    source = source_of(repository_files([CUSTOMERS, CRM]))
    done = expand(source, master_name=MASTER, extras=[], ci=False)
    assert list(done.shares) == [""]
    assert ids(done) == ["crm", "customers"]


def test_templates_below_the_sync_root() -> None:
    source = source_of(repository_files(EXAMPLE, FULL, root="a/b/"), sync_root="a/b")
    extras = [ExtraSpec(name="eidsiva", template_path="/extra_nodes//eidsiva")]
    done = expand(source, master_name=MASTER, extras=extras, ci=False)
    assert told(done) == []
    assert done.shares[""].replicas[0].template == f"a/b/{TEMPLATES}pipe_on_master_from_master_to_extra.json"


NAMES = st.sampled_from("abcdefgh")
PIPES = st.builds(
    lambda name, reads, writes, node: pipe(name, reads=reads, writes=writes, node=node),
    NAMES, st.lists(NAMES, max_size=3), st.sampled_from(["", "a", "b", "shared"]),
    st.sampled_from(["", "eidsiva", "other", "unknown"]),
)  # fmt: skip


@given(
    pipes=st.lists(PIPES, unique_by=lambda one: one["_id"], max_size=8), seed=st.integers(0, 999), proxy=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_order_of_input_never_matters(pipes: list[dict[str, Any]], seed: int, proxy: bool) -> None:
    files = repository_files([*pipes, CRM], FULL)
    source = source_of(files)
    shuffled = list(source.entities)
    random.Random(seed).shuffle(shuffled)
    other = dataclasses.replace(
        source,
        entities=tuple(shuffled),
        templates=dict(reversed(list(source.templates.items()))),
        variables=dict(reversed(list(source.variables.items()))),
    )
    extras = [dataclasses.replace(one, proxy=proxy) for one in two_extras(shared=True)]
    one = expand(source, master_name=MASTER, extras=extras, ci=False)
    two = expand(other, master_name=MASTER, extras=extras[::-1], ci=False)
    assert (one, repr(one)) == (two, repr(two))


@given(pipes=st.lists(PIPES, unique_by=lambda one: one["_id"], max_size=8))
@settings(max_examples=40, deadline=None)
def test_nobody_loses_an_entity_and_nothing_unfilled_is_left(pipes: list[dict[str, Any]]) -> None:
    done = expand(
        source_of(repository_files(pipes, FULL)), master_name=MASTER, extras=two_extras(shared=True), ci=False
    )
    for entity in pipes:
        owner = entity.get("metadata", {}).get("node", "")
        if owner != "unknown":
            assert done.shares[owner].entities[entity["_id"]].value == entity
    for share in done.shares.values():
        assert "_PARENT_PIPE" not in repr([entity.value for entity in share.entities.values()])
        assert all(replica.id in share.entities for replica in share.replicas)


def test_five_hundred_replicas_in_a_moment() -> None:
    count = 250
    entities = [pipe(f"from-{n}", node="eidsiva", source={"table": f"t{n}"}) for n in range(count)]
    entities += [pipe(f"to-{n}", reads=[f"from-{n}"], pump={"schedule_interval": n}) for n in range(count)]
    entities += [pipe(f"more-{n}", reads=["x", "y", "z"]) for n in range(1500)]
    source = source_of(repository_files(entities, FULL, variables=VARIABLES | {"master-url": 1}))
    began = time.thread_time()
    done = expand(source, master_name=MASTER, extras=[ExtraSpec(name="eidsiva", template_path=TEMPLATES)], ci=False)
    took = time.thread_time() - began
    print(f"500 replica pipes among {len(entities)} pipes: {took:.3f} s")
    assert sum(replica.kind == "pipe" for share in done.shares.values() for replica in share.replicas) == 2 * count
    assert told(done) == []
    assert took < 1
