"""The agent's own figures, for Prometheus: a few lines of text on a port, and nothing else behind it."""

from __future__ import annotations

import http.server
import threading
import time
from typing import TYPE_CHECKING, Any

from deploypanel_agent import __version__
from deploypanel_agent.errors import ConfigError

if TYPE_CHECKING:
    from deploypanel_agent.clock import Clock
    from deploypanel_agent.held import Held

STATES = ("succeeded", "failed", "stopped", "timed_out")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """Counted since the process began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = dict.fromkeys(STATES, 0)
        self._working = 0
        self._connected = False
        self._lines = 0
        self._waited = 0.0
        self._begun = 0

    def began(self, held: Held, clock: Clock) -> None:
        with self._lock:
            self._working += 1
            if not held.begun:
                self._begun += 1
                self._waited += clock.age(str(held.order.get("fired_at") or ""), time.time())

    def ended(self, state: str, *, worked: bool) -> None:
        """`worked` False: it ended without having been begun."""
        with self._lock:
            self._working -= worked
            self._runs[state] = self._runs.get(state, 0) + 1

    def connected(self, now: bool) -> None:
        with self._lock:
            self._lines += now and not self._connected
            self._connected = now

    def text(self) -> str:
        """In Prometheus's text format."""
        with self._lock:
            rows: list[tuple[str, str, str, list[tuple[str, float]]]] = [
                ("info", "gauge", "The program's version.", [(f'{{version="{__version__}"}}', 1)]),
                ("connected", "gauge", "1 while there is a line to the panel.", [("", int(self._connected))]),
                ("connections_total", "counter", "Lines to the panel that came about.", [("", self._lines)]),
                ("runs_working", "gauge", "Runs at work.", [("", self._working)]),
                ("runs_total", "counter", "Runs that ended.", [(f'{{state="{s}"}}', n) for s, n in self._runs.items()]),
                ("start_seconds_sum", "counter", "Seconds from firings to starts.", [("", round(self._waited, 6))]),
                ("start_seconds_count", "counter", "Runs that were begun.", [("", self._begun)]),
            ]
        return "".join(_told(*row) for row in rows)


def _told(name: str, kind: str, words: str, samples: list[tuple[str, float]]) -> str:
    full = f"deploypanel_agent_{name}"
    lines = [f"{full}{labels} {value}\n" for labels, value in samples]
    return f"# HELP {full} {words}\n# TYPE {full} {kind}\n{''.join(lines)}"


def serve(figures: Figures, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """Answer `GET /metrics` from a thread of its own. Raises ConfigError when the port cannot be had."""

    class Door(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            body = figures.text().encode() if found else b"Only /metrics is here.\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return

    try:
        server = http.server.ThreadingHTTPServer((host, port), Door)
    except OSError as error:
        raise ConfigError(f"The port for figures, {host}:{port}, cannot be had: {error.strerror}.") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="figures", daemon=True).start()
    return server
