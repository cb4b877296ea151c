"""rsync's command line and what its endings mean. Pure: nothing is run here.

Options come from a person and are let through by a list of what is known to be harmless. Options that
start programs, or read and write files outside the tree and the target, are not on it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHORT = frozenset("argoptlDzucHAXEWSvqhixOJUNPbIKmy")
LONG = _words("""
    archive recursive links safe-links munge-links perms executability acls xattrs owner group devices specials
    times atimes open-noatime crtimes omit-dir-times omit-link-times hard-links sparse whole-file checksum update
    inplace one-file-system existing ignore-existing delete del delete-before delete-during delete-delay delete-after
    delete-excluded ignore-errors force partial delay-updates prune-empty-dirs numeric-ids ignore-times size-only
    fuzzy compress old-compress new-compress stats progress human-readable verbose quiet itemize-changes
    protect-args secluded-args backup fsync super fake-super preallocate ipv4 ipv6 8-bit-output keep-dirlinks
    """)
LONG_WITH_VALUE = _words("""
    max-delete max-size min-size block-size bwlimit timeout compress-level compress-choice zc zl checksum-choice cc
    checksum-seed skip-compress chmod chown usermap groupmap exclude include suffix info debug modify-window filter
    """)
# Known, and refused for a reason that a person should read.
REFUSED = {
    **dict.fromkeys(("e", "rsh", "rsync-path", "M", "remote-option"), "it runs programs"),
    **dict.fromkeys(("daemon", "config", "dparam", "server", "sender", "port", "sockopts"), "it is for servers"),
    **dict.fromkeys(
        ("log-file", "write-batch", "only-write-batch", "read-batch", "backup-dir", "T", "temp-dir", "partial-dir"),
        "it reads or writes files outside the target folder",
    ),
    **dict.fromkeys(
        ("files-from", "exclude-from", "include-from", "password-file", "early-input", "C", "cvs-exclude", "F"),
        "it reads files of the panel's machine",
    ),
    **dict.fromkeys(
        ("L", "copy-links", "copy-unsafe-links", "k", "copy-dirlinks"),
        "it follows links out of the tree into files of the panel's machine",
    ),
    **dict.fromkeys(("link-dest", "copy-dest", "compare-dest"), "the panel sets it itself"),
    **dict.fromkeys(("n", "dry-run", "list-only"), "nothing would be deployed: use Preview"),
    **dict.fromkeys(("R", "relative", "d", "dirs", "remove-source-files"), "it would not copy the tree as it is"),
}
# A filter rule may name files to read (“merge FILE”, “. FILE”); these forms only name patterns.
_RULE = re.compile(r"\A(?:[-+HSPR]|exclude|include|hide|show|protect|risk)(?:,[!/sCrpx]+)?[ _].+\Z", re.DOTALL)
_SPECIAL = re.compile(r"([\\*?\[\]])")

ALWAYS = ("--exclude=.git", "--exclude=.git_release")


def options_parsed(text: str, *, releases: bool = False) -> list[str]:
    """What a person wrote as arguments; raises InputError that names the first option that is not allowed.

    `releases`: they are for releases that share unchanged files with each other by hard links.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"The rsync options cannot be read: {error}. Close every quote.") from None
    parsed: list[str] = []
    rest = iter(words)
    for word in rest:
        if "\0" in word or "\n" in word:
            raise InputError("The rsync options must be one line.")
        if word.startswith("--") and len(word) > 2:
            parsed.append(_long(word, rest))
        elif word.startswith("-") and len(word) > 1 and word != "--":
            parsed.extend(_short(word, rest))
        else:
            raise InputError(f"{word!r} is no option of rsync: the panel itself says what is copied where.")
    if releases and "--inplace" in parsed:
        raise InputError("The rsync option --inplace is refused: it would write into files that older releases share.")
    return parsed


def _long(word: str, rest: Iterator[str]) -> str:
    name, given, value = word[2:].partition("=")
    if name in LONG or (name.startswith("no-") and name[3:] in LONG):
        if given:
            raise InputError(f"--{name} takes no value.")
        return word
    if name not in LONG_WITH_VALUE:
        raise _refusal(name, f"--{name}")
    if not given:
        value = _value(f"--{name}", rest)
    if name == "filter":
        _check_rule(value)
    if name in {"exclude", "include"} and value.strip() == "!":
        raise InputError(f"--{name}=! would also clear the panel's own exclusions.")
    return f"--{name}={value}"


def _short(word: str, rest: Iterator[str]) -> list[str]:
    letters = word[1:]
    for place, letter in enumerate(letters):
        if letter in "fB":
            value = letters[place + 1 :] or _value(f"-{letter}", rest)
            if letter == "f":
                _check_rule(value)
            before = [f"-{letters[:place]}"] if place else []
            return [*before, f"--filter={value}" if letter == "f" else f"--block-size={value}"]
        if letter not in SHORT and letter not in "s46":
            raise _refusal(letter, f"-{letter}" if word == f"-{letter}" else f"-{letter} (in {word})")
    return [word]


def _value(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise InputError(f"{option} needs a value.")
    return value


def _check_rule(rule: str) -> None:
    if not _RULE.match(rule):
        raise InputError(
            f"The filter rule {rule!r} is not allowed: only rules that name a pattern are (“- *.log”, “P /cache”)."
        )


def _refusal(name: str, shown: str) -> InputError:
    if name in REFUSED:
        return InputError(f"The rsync option {shown} is refused: {REFUSED[name]}.")
    return InputError(f"The rsync option {shown} is not one of those that the panel allows (docs/deployments.md).")


def exclusion(path: str) -> str:
    """The argument that keeps exactly `path`, seen from the root of the tree, out of the copy."""
    plain = _SPECIAL.sub(r"\\\1", path.strip("/"))
    return f"--exclude=/{plain}"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One rsync. `destination` is `ALIAS:FOLDER`, where ALIAS is a Host of the OpenSSH configuration file."""

    source: str  # a local folder, whose content is copied
    alias: str
    folder: str
    ssh_config: str
    options: Sequence[str]
    shared_paths: Sequence[str] = ()
    link_dest: str = ""  # the release before, on the host
    timeout: int = 60  # seconds without any data until rsync gives up

    def argv(self, *more: str) -> list[str]:
        """The program and its arguments; `more` (`--dry-run`) go before the paths."""
        given_timeout = any(option.startswith("--timeout=") for option in self.options)
        return [
            "rsync",
            f"--rsh=ssh -F {shlex.quote(self.ssh_config)}",
            *ALWAYS,  # the first rule that matches counts
            *map(exclusion, self.shared_paths),
            *self.options,
            *([f"--link-dest={self.link_dest}"] if self.link_dest else []),
            "--protect-args",  # file names travel by rsync's own protocol and never meet the host's shell
            *([] if given_timeout else [f"--timeout={self.timeout}"]),
            *more,
            "--",
            f"{self.source.rstrip('/')}/",
            f"{self.alias}:{self.folder.rstrip('/')}/",
        ]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What an ending means: a sentence, and what to do."""

    problem: str
    remedy: str


# Looked for in what rsync and ssh said, before the status is looked at.
_SAID = (
    ("No space left on device", "The disk is full.", "Free some space; fewer kept releases need less."),
    ("Disk quota exceeded", "The disk quota is used up.", "Raise the quota or free some space."),
    ("File too large", "A file is larger than the host allows.", "Look at the limits (ulimit -f) of the remote user."),
    ("Read-only file system", "The file system is read-only.", "Mount it writable; look at the host's kernel log."),
    ("rsync: command not found", "rsync is not installed there.", "Install it: apt-get install rsync."),
    ("rsync: not found", "rsync is not installed there.", "Install it: apt-get install rsync."),
    ("Host key verification failed", "The host key is not the pinned one.", "Scan the host's key and confirm it."),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "The host key has changed.", "Scan the host's key and confirm it."),
    ("Permission denied (publickey", "The host does not accept the key.", "Look at ~/.ssh/authorized_keys there."),
    ("Connection refused", "Nothing listens there any more.", "Is the SSH server running?"),
    ("not responding", "It stopped answering in the middle of the copy.", "Look whether the host is up; run again."),
    ("Permission denied", "The remote user may not write there.", "Give it the folder: chown it on the host."),
    ("Operation not permitted", "The remote user may not do that there.", "See the last lines; -a wants ownership."),
)
_STATUS = {
    1: ("rsync does not understand its options.", "Correct the environment's rsync options."),
    2: ("rsync here and there speak different protocols.", "Update rsync on the host."),
    3: ("rsync could not choose its files or folders.", "See the last lines."),
    4: ("rsync on the host does not know one of the options.", "Update rsync there, or leave the option out."),
    10: ("The connection broke.", "Look whether the host is up, then run again."),
    11: ("A file could not be read or written.", "See the last lines; a full disk is the usual cause."),
    12: ("The connection broke in the middle of the copy.", "Look whether the host is up, then run again."),
    13: ("rsync reports an error of itself.", "See the last lines."),
    14: ("rsync could not start its remote side.", "Is rsync installed there?"),
    20: ("The copy was interrupted.", "Run again: what was copied stays."),
    22: ("rsync ran out of memory.", "Look at the host's memory."),
    23: ("Some files could not be copied.", "See the last lines: rights and full disks are the usual causes."),
    24: ("Files vanished from the tree during the copy.", "Run again."),
    25: ("More files were to be deleted than --max-delete allows.", "Look at a preview, then raise the limit."),
    30: ("It fell silent in the middle of the copy.", "Look at the host's load, disks and network; run again."),
    35: ("It fell silent during the greeting.", "Look at the host's load and network; run again."),
    127: ("rsync is not installed there.", "Install it: apt-get install rsync."),
    255: ("The SSH connection broke or was refused.", "Look whether the host is up, then run again."),
}


def said_failure(said: str) -> Failure | None:
    """What a message of the system or of ssh means, whichever program passed it on."""
    for words, problem, remedy in _SAID:
        if words in said:
            return Failure(problem=problem, remedy=remedy)
    return None


def failure(status: int, said: str) -> Failure:
    """Why rsync ended with `status`, from its last lines and the status."""
    known = said_failure(said)
    if known is not None:
        return known
    if status < 0:
        return Failure(problem=f"rsync was killed by signal {-status}.", remedy="Run again.")
    problem, remedy = _STATUS.get(status, (f"rsync ended with status {status}.", "See the last lines."))
    return Failure(problem=problem, remedy=remedy)


@dataclass(kw_only=True)
class Changes:
    """What a dry run says it would do."""

    added: int = 0
    changed: int = 0
    deleted: int = 0


# One line per file, in a form of our own, so that no file name can look like another line.
COUNT_FORMAT = "--out-format=%i"


def changes(out: str) -> Changes:
    """Counts from a run with COUNT_FORMAT: files and links, not folders.

    A link that differs in its time alone is none: links get a new time whenever a tree is written.
    """
    found = Changes()
    for line in out.splitlines():
        if line.startswith("*deleting"):
            found.deleted += 1
        elif re.match(r"[<>ch.][fLDS]\S{9}", line):
            if line[2] == "+":
                found.added += 1
            elif _differs(line):
                found.changed += 1
    return found


def _differs(line: str) -> bool:
    attributes = line[2:].strip(".")
    only_time = line[1] == "L" and attributes == "t"
    return line[0] != "." or (bool(attributes) and not only_time)
