"""Which variables and secrets a configuration uses."""

from __future__ import annotations

import pytest

from apps.sesam.configuration import Entity
from apps.sesam.references import missing, references


def pipe(name: str, value: object) -> Entity:
    return Entity(id=name, value={"_id": name, "type": "pipe", "value": value}, file=f"pipes/{name}.conf.json")


@pytest.mark.parametrize(
    ("value", "variables", "secrets"),
    [
        ("$ENV(a)", ["a"], []),
        ("https://$ENV(host):$ENV(port)/$SECRET(path)", ["host", "port"], ["path"]),
        ({"$ENV(key)": {"deep": [[["$SECRET(s)"]]]}}, ["key"], ["s"]),
        ("$ENV(a b) $ENV(c)", ["c"], []),
        ("$ENV(a(b)c)", ["a(b"], []),
        ("$ENV()", [""], []),
        ("$env(a) ENV(b) $ENV c $SECRETS(d) $ENV(e", [], []),
        ("$$ENV(a)$ENV(a)", ["a"], []),
        ("$ENV(a\x00b)", ["a\\x00b"], []),
        ([1, None, True, 1.5, {}, []], [], []),
        ("$ENV($SECRET(a))", ["$SECRET(a"], []),
    ],
)
def test_names_are_found_in_every_string_and_key(value: object, variables: list[str], secrets: list[str]) -> None:
    found = references([pipe("a", value)])
    assert (list(found.variables), list(found.secrets)) == (variables, secrets)


def test_each_name_has_the_files_that_use_it_in_order() -> None:
    entities = [pipe("b", ["$ENV(x)", "$ENV(x)"]), pipe("a", "$ENV(x) $ENV(w)"), Entity(id="c", value={"a": "$ENV(x)"})]
    found = references(entities)
    assert found.variables == {
        "w": ("pipes/a.conf.json",),
        "x": ("c", "pipes/a.conf.json", "pipes/b.conf.json"),
    }
    assert list(found.variables) == ["w", "x"]
    assert missing(found.variables, {"w": 1}) == {"x": found.variables["x"]}
    assert missing(found.variables, ["w", "x"]) == {}


def test_what_is_very_deep_does_not_crash() -> None:
    value: object = "$SECRET(deep)"
    for _ in range(50_000):
        value = [value]
    assert list(references([pipe("a", value)]).secrets) == ["deep"]
