"""Many idle agents in one process: `python -m bench.crowd URL FILE`, FILE with a key on each line.

Prints a JSON line when all are welcome, and for each firing one when it has reached all of them, and one when the panel
has stored the ends of all their runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import websockets

BEAT = 25.0  # seconds, as the agent's program
AT_ONCE = 50  # connections that are opened at the same time
HELLO = {"type": "hello", "protocol": 1, "version": "bench", "python": "", "system": "", "hostname": "", "runs": {}}


class Crowd:
    def __init__(self, url: str, keys: list[str]) -> None:
        self._url = url.replace("http", "ws", 1) + "/agent/socket"
        self._keys = keys
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._welcome = 0
        self._reached: Counter[int] = Counter()  # by the firing's count
        self._forgotten: Counter[int] = Counter()

    async def stay(self) -> None:
        await asyncio.gather(*map(self._one, self._keys))

    async def _one(self, key: str) -> None:
        async with self._gate:
            socket = await websockets.connect(
                self._url, additional_headers={"Authorization": f"Bearer {key}"}, compression=None, ping_interval=None
            )
            await socket.send(json.dumps(HELLO))
            await socket.recv()
        self._welcome += 1
        if self._welcome == len(self._keys):
            print(json.dumps({"connected": self._welcome}), flush=True)
        beating = asyncio.create_task(_beat(socket))
        begun: dict[int, int] = {}
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "run":
                self._tell(self._reached, message["count"], "last")
                begun[message["run"]] = message["count"]
                at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
                events = [{"at": at, "kind": "started"}, {"at": at, "kind": "ended", "state": "succeeded"}]
                await socket.send(json.dumps({"type": "events", "run": message["run"], "first": 1, "events": events}))
            elif message["type"] == "forget":
                self._tell(self._forgotten, begun.pop(message["run"]), "stored")
        beating.cancel()

    def _tell(self, counted: Counter[int], count: int, name: str) -> None:
        counted[count] += 1
        if counted[count] == len(self._keys):
            print(json.dumps({"count": count, name: time.time()}), flush=True)


async def _beat(socket: websockets.ClientConnection) -> None:
    await asyncio.sleep(random.uniform(0, BEAT))
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await socket.send('{"type":"beat","runs":[]}')
            await asyncio.sleep(BEAT)


if __name__ == "__main__":
    asyncio.run(Crowd(sys.argv[1], Path(sys.argv[2]).read_text().split()).stay())
