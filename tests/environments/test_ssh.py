"""Connections to real SSH servers: who is let in, who is refused, and what is said when it breaks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from apps.environments import ssh
from apps.environments.errors import (
    HostCutOff,
    HostKeyChanged,
    HostKeyMissing,
    HostLoginFailed,
    HostRefused,
    HostSilent,
    HostUnreachable,
    KeyUnusable,
)
from apps.environments.host_key import fingerprint_or_nothing
from apps.environments.remote_output import KEPT_OUTPUT
from tests.support.ports import free_port
from tests.support.processes import processes_marked
from tests.support.runner import wait_until
from tests.support.sshd import Fleet, keygen

pytestmark = pytest.mark.django_db
Start = Callable[..., Fleet]


def marking(name: str) -> dict[str, str]:
    """What marks the processes of a script; another run of these tests may be at work on the machine."""
    return {"DEPLOYPANEL_RUN": f"{name}:{os.getpid()}"}


def marked(name: str) -> list[psutil.Process]:
    return processes_marked(marking(name)["DEPLOYPANEL_RUN"])


def wait_until_gone(name: str) -> None:
    wait_until(lambda: not marked(name))


def soon(act: Callable[[], object]) -> Callable[[bytes], object]:
    """Hears a script's output: at its first word, when it surely runs, this is done, by another thread."""
    first = [threading.Thread(target=act)]
    return lambda _: first.pop().start() if first else None


def test_run_streams_and_returns_the_status(sshd_fleet: Start) -> None:
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    out: list[bytes] = []

    def heard(data: bytes) -> None:
        out.append(data)
        (fleet[0].root / "heard").touch()  # only now does the script go on

    with ssh.connect(host) as connection:
        done = connection.run(
            'echo "one $1"; echo two >&2; until [ -e heard ]; do sleep 0.05; done; echo "$NAME"; exit 7',
            ["a b"],
            env={"NAME": "x; $(id)"},
            on_out=heard,
            timeout=60,
        )
        assert (done.status, done.out, done.err) == (7, "one a b\nx; $(id)\n", "two\n")
        assert out[0] == b"one a b\n"
        assert connection.run("true").ok


def test_run_is_quick_on_an_open_connection(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    with ssh.connect(host) as connection:
        connection.run("true")
        seconds = []
        for _ in range(10):
            started = time.monotonic()
            connection.run("true")
            seconds.append(time.monotonic() - started)
        assert min(seconds) < 0.2  # a login shell may read a slow .bashrc; and no look waits for the next one


def test_run_keeps_the_end_of_much_output(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    size = 0

    def count(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)

    with ssh.connect(host) as connection:
        done = connection.run("seq 1 200000", on_out=count)
    assert size == 1288895
    assert len(done.out) == KEPT_OUTPUT
    assert done.out.endswith("\n200000\n")


def test_run_ends_although_a_daemon_holds_its_output(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    with ssh.connect(host) as connection:
        started = time.monotonic()
        done = connection.run("sleep 99 & echo started", env=marking("daemon"))
        assert done.out == "started\n"
        assert time.monotonic() - started < 60
    time.sleep(0.5)
    wait_until(lambda: marked("daemon"))  # a script may leave a service running
    for process in marked("daemon"):
        process.kill()


def test_stop_ends_the_script_and_its_children(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    stop = threading.Event()
    with ssh.connect(host) as connection:
        started = time.monotonic()
        done = connection.run(
            "sleep 99 & echo begun; sleep 99", env=marking("stopped"), on_out=soon(stop.set), stop=stop, grace=60
        )
        assert done.stopped
        assert time.monotonic() - started < 40  # TERM is enough: the grace is not waited for
        wait_until_gone("stopped")


def test_stop_kills_what_ignores_term(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    stop = threading.Event()
    with ssh.connect(host) as connection:
        script = (
            "trap '' TERM; sh -c 'trap \"\" TERM; echo begun; while :; do sleep 1; done' & while :; do sleep 1; done"
        )
        done = connection.run(script, env=marking("stubborn"), on_out=soon(stop.set), stop=stop, grace=1)
        assert done.stopped
    wait_until_gone("stubborn")


def test_closing_the_connection_ends_the_script(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    connection = ssh.connect(host)
    with pytest.raises(HostCutOff):
        connection.run("echo begun; sleep 99", env=marking("closed"), on_out=soon(connection.close), grace=1)
    wait_until_gone("closed")


def test_connection_cut_in_the_middle(sshd_fleet: Start) -> None:
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    with ssh.connect(host) as connection, pytest.raises(HostCutOff, match="web1: The connection broke"):
        connection.run("echo begun; sleep 99", env=marking("cut"), on_out=soon(fleet[0].cut), grace=1)
    wait_until_gone("cut")


def test_silent_host_is_noticed_by_keepalives(sshd_fleet: Start, settings: object) -> None:
    settings.SSH_KEEPALIVE = 1  # type: ignore[attr-defined]
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    with ssh.connect(host) as connection:
        started = time.monotonic()
        with pytest.raises(HostCutOff, match="no sign of life"):
            connection.run("echo begun; sleep 99", on_out=soon(fleet[0].freeze))
        assert time.monotonic() - started < 60


def test_a_connection_that_nobody_used_for_long_still_serves(sshd_fleet: Start, settings: object) -> None:
    settings.SSH_KEEPALIVE = 1  # type: ignore[attr-defined]
    [host] = sshd_fleet(1).declare()
    with ssh.connect(host) as connection:
        connection.run("true")
        time.sleep(5)  # rsync works meanwhile, over a connection of its own
        assert connection.run("sleep 0.5; echo there").out == "there\n"


def test_timeout_ends_a_step(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    with ssh.connect(host) as connection, pytest.raises(HostSilent, match=r"within 0\.5 s"):
        connection.run("sleep 99", timeout=0.5, grace=1)


def test_host_without_pinned_key_is_refused(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    host.host_key = ""
    with pytest.raises(HostKeyMissing, match="Scan the host's key"):
        ssh.connect(host)


def test_changed_host_key_shows_both_fingerprints(sshd_fleet: Start) -> None:
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    fleet[0].change_host_key()
    with pytest.raises(HostKeyChanged) as caught:
        ssh.connect(host)
    assert caught.value.old == fingerprint_or_nothing(host.host_key)
    assert caught.value.new == fingerprint_or_nothing(fleet[0].host_key)
    assert caught.value.old in str(caught.value)
    assert caught.value.new in str(caught.value)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_host_key_of_another_type(sshd_fleet: Start, kind: str) -> None:
    fleet = sshd_fleet(1)
    fleet[0].change_host_key(kind)
    [host] = fleet.declare()
    with ssh.connect(host) as connection:
        assert connection.run("true").ok
    fleet[0].change_host_key("ed25519")
    with pytest.raises(HostKeyChanged):
        ssh.connect(host)


def test_keys_shown_need_no_login(sshd_fleet: Start) -> None:
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    host.host_key = ""
    assert ssh.host_keys_shown(host) == [fleet[0].host_key]


def test_wrong_client_key(sshd_fleet: Start, tmp_path: object) -> None:
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    keygen(fleet.folder / "other")
    host.ssh_key.private_key = (fleet.folder / "other").read_text()
    with pytest.raises(HostLoginFailed, match="does not accept the key “fleet”"):
        ssh.connect(host)


def test_unreadable_private_key(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    host.ssh_key.private_key = "-----BEGIN NONSENSE-----"
    with pytest.raises(KeyUnusable, match="Paste the whole private key"):
        ssh.connect(host)


def test_down_host(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    host.port = free_port()
    with pytest.raises(HostRefused, match="Nothing listens"):
        ssh.connect(host)


def test_unknown_name(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    host.address = "nowhere.invalid"
    with pytest.raises(HostUnreachable, match="cannot be reached"):
        ssh.connect(host)


def test_host_that_never_greets(sshd_fleet: Start, settings: object) -> None:
    settings.SSH_CONNECT_TIMEOUT = 1  # type: ignore[attr-defined]
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    fleet[0].freeze()
    with pytest.raises(HostSilent, match="did not finish the SSH greeting within 1 s"):
        ssh.connect(host)


def test_jump_host(sshd_fleet: Start) -> None:
    gate, inner = sshd_fleet(2).declare()
    inner.jump_host = gate
    with ssh.connect(inner) as connection:
        assert connection.run("echo hello").out == "hello\n"
        done = connection.run("echo $SSH_CONNECTION")
        assert done.ok
    gate.host_key = ""
    with pytest.raises(HostKeyMissing, match="web1"):
        ssh.connect(inner)


EVERY_BYTE = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
HOSTILE = [
    "",
    " ",
    "a b",
    "$(id)",
    "`id`",
    "a;touch x",
    "'",
    '"',
    "\\",
    "\\n",
    "%b %s",
    "\n",
    "a\n\nb\n",
    "-n",
    "ünï—code",
    "*",
]


def test_hostile_values_arrive_as_they_are(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    with ssh.connect(host) as connection:
        for values in (HOSTILE, [EVERY_BYTE]):
            got = bytearray()
            done = connection.run(
                'for one in "$@"; do printf "%s|" "$one"; done; printf "%s" "$NAME"',
                values,
                env={"NAME": values[-1]},
                on_out=got.extend,
            )
            assert done.ok
            expected = "".join(f"{value}|" for value in values) + values[-1]
            assert bytes(got) == expected.encode("utf-8", "surrogateescape")


def test_one_shell_serves_many_scripts_that_know_nothing_of_each_other(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    with ssh.connect(host) as connection:
        assert connection.run("x=1; cd /; exit 3").status == 3
        assert connection.run('printf "[$x]"; printf no-newline >&2').out == "[]"
        assert connection.run("kill -9 $$").status == 137
        assert connection.run("cat; echo done").out == "done\n"  # nothing of the next script is its input


def test_after_a_stop_the_connection_still_works(sshd_fleet: Start) -> None:
    [host] = sshd_fleet(1).declare()
    stop = threading.Event()
    stop.set()
    with ssh.connect(host) as connection:
        assert connection.run("sleep 99", stop=stop, grace=1).stopped
        assert connection.run("echo again").out == "again\n"


def test_a_shell_that_greets_or_refuses(sshd_fleet: Start) -> None:
    fleet = sshd_fleet(1)
    [host] = fleet.declare()
    session = fleet[0].folder / "session"
    plain = session.read_text()
    session.write_text("echo Welcome; echo Hello >&2\n" + plain)
    with ssh.connect(host) as connection:
        done = connection.run("echo mine")
        assert (done.out, done.err) == ("mine\n", "")
    session.write_text("echo This account is closed.\nexit 1\n")
    with ssh.connect(host) as connection:
        done = connection.run("echo mine")
        assert (done.status, done.out) == (255, "This account is closed.\n")
