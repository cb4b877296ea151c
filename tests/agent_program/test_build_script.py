"""Build scripts: what is understood, and where it says that something is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploypanel_agent.build_script import Download, Script, ScriptError, Shell, script_read

FULL = """
steps:
  - shell: |
      echo easy as

      echo 1 2 3
    env: {STAGE: production, NUMBER: 0755, EMPTY: }
    cwd: /srv
    timeout: 1.5
    retries: 2
    continue_on_error: yes
    when: {any: [{equals: {/n: 1}}, {not: {present: [/x, /y]}}]}
  - shell: make
    script: true
  - download:
    cache: false # as the seed's own README has it
    url: https://cute.example/1.png
    dest: /var/www/1.png
  - download_s3: {url: "s3://bucket/a key", dest: /x, cache: true}
  - download: {url: "http://x", dest: y, sha256: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}
"""


def test_everything_is_read() -> None:
    first, second, third, fourth, fifth = script_read(FULL).steps
    assert isinstance(first, Shell)
    assert first.commands == ("echo easy as", "echo 1 2 3")
    assert first.line == 3
    assert first.options.env == {"STAGE": "production", "NUMBER": "0755", "EMPTY": ""}
    assert (first.options.cwd, first.options.timeout, first.options.retries) == ("/srv", 1.5, 2)
    assert first.options.continue_on_error
    assert first.options.when == {"any": [{"equals": {"/n": 1}}, {"not": {"present": ["/x", "/y"]}}]}
    assert isinstance(second, Shell)
    assert second.commands == ("set -e\nmake",)
    assert isinstance(third, Download)
    assert (third.url, third.dest, third.cache) == ("https://cute.example/1.png", "/var/www/1.png", False)
    assert (fourth.kind, fourth.position, fourth.cache) == ("download_s3", 3, True)
    assert isinstance(fifth, Download)
    assert fifth.sha256 == "a" * 64


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "empty"),
        ("# nothing", 1, 1, "empty"),
        ("- shell: a", 1, 1, "must be a mapping"),
        ("stepps: []", 1, 1, "“stepps” is not understood"),
        ("steps: {}", 1, 8, "must be a list"),
        ("steps: []", 1, 8, "no steps"),
        ("steps:\n  - shell: a\n    shell: b", 3, 5, "twice"),
        ("steps:\n  - shel: a", 2, 5, "unknown step “shel”"),
        ("steps:\n  - {}", 2, 5, "unknown step nothing"),
        ("steps:\n  - echo", 2, 5, "must be a mapping"),
        ("steps:\n  - shell: a\n    download: {url: https://x, dest: y}", 2, 5, "shell and download"),
        ("steps:\n  - shell:", 2, 11, "must be a text"),
        ("steps:\n  - shell: ' '", 2, 12, "needs a command"),
        ("steps:\n  - shell: [a]", 2, 12, "must be a text"),
        ("steps:\n  - shell: a\n    cmd: b", 3, 5, "“cmd” is not understood in a shell step"),
        ("steps:\n  - download: {url: https://x, dest: y}\n    script: true", 3, 5, "“script” is not understood"),
        ("steps:\n  - shell: a\n    env: [A]", 3, 10, "must be a mapping"),
        ("steps:\n  - shell: a\n    env: {1A: x}", 3, 11, "no name of a variable"),
        ("steps:\n  - shell: a\n    timeout: 0", 3, 14, "from 1 to"),
        ("steps:\n  - shell: a\n    timeout: .inf", 3, 14, "from 1 to"),
        ("steps:\n  - shell: a\n    retries: 1.5", 3, 14, "a whole number"),
        ("steps:\n  - shell: a\n    retries: 101", 3, 14, "from 0 to 100"),
        ("steps:\n  - shell: a\n    continue_on_error: maybe", 3, 24, "true or false"),
        ("steps:\n  - shell: a\n    when: {if: 1}", 3, 11, "“when”: no rule is called 'if'"),
        ("steps:\n  - shell: a\n    when: {all: [{not: {equals: {x: 1}}}]}", 3, 33, "'x' is no pointer"),
        ("steps:\n  - download: {url: https://x}", 2, 15, "needs “dest”"),
        ("steps:\n  - download: {url: /etc/passwd, dest: y}", 2, 21, "https://host/path"),
        ("steps:\n  - download: {url: 's3://b/k', dest: y}", 2, 21, "https://host/path"),
        ("steps:\n  - download_s3: {url: 'https://x', dest: y}", 2, 24, "s3://bucket/key"),
        ("steps:\n  - download: {url: https://x, dest: y, sha256: 12}", 2, 49, "64 hexadecimal"),
        ("steps:\n\t- shell: a", 2, 1, "not YAML"),
        ("steps: [", 1, 9, "not YAML"),
        ("steps: 'a", 1, 10, "not YAML"),
        ("a: 1\n---\nb: 1", 2, 1, "second document"),
        ("steps: &a [*a]", 1, 12, "aliases"),
        ("steps: !!python/object:os.system []", 1, 8, "tags"),
        ('steps: "\\ud800"', 1, 8, "half a character"),
        ("steps: a\x07b", 1, 9, "does not allow"),
        ("[" * 3000, 1, 41, "nested too deep"),
        ("- a\n" * 30000, 19999, 3, "too many parts"),
        ("steps:\n" + "  - shell: a\n" * 201, 202, 5, "at most 200 steps"),
        ("#" * 300_000, 1, 1, "longer than"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(ScriptError) as caught:
        script_read(text)
    assert words in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)


WORDS = """steps : shell download a { } [ ] ' " | &x *x !!int when equals /a env timeout -1 1e9 0x1F 1:30 ~ yes
    << --- ... 2001-01-01 url https://x dest %YAML \ufeff \U0001f600"""
PIECES = st.sampled_from([*WORDS.split(), "\n", "  - ", " ", "\t", "\x00", "? ", "\\ud800"])


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=40).map("".join)))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_script_or_a_clear_error(text: str) -> None:
    try:
        assert isinstance(script_read(text), Script)
    except ScriptError as error:
        assert (min(error.line, error.column), bool(str(error).encode())) >= (1, True)  # noqa: PT017 - both may come
