"""Run the soak: `python -m tests.soak --minutes 5`. Where anything was lost, the exit code is 1 and the files stay."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import httpx

from stepserve_core.faults import KINDS
from tests.soak import judge
from tests.soak.feed import Feed
from tests.soak.keys import SIGNING_KEY
from tests.soak.processes import Process, ServerReports, free_port

MOST_WAITING = 300
"""Runs that have not ended, above which nothing is sent: the machine would be measured, and not the server."""

PATIENCE = 120.0
"""Seconds without any run ending, after which what is left counts as lost."""


class Soak:
    """One soak. Faults are drawn anew for each server that is started."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self.database, self.journal = folder / "runs.db", folder / "journal"
        self.journal.touch()
        self.reports = ServerReports()
        server_port, app_port = free_port(), free_port()
        self.server = Process(
            lambda: self._server_arguments(server_port), server_port, folder / "server.log", self.reports.on_line
        )
        app = ["tests.soak.app", str(app_port), self.server.url, str(self.journal)]
        self.app = Process(lambda: app, app_port, folder / "app.log", lambda _: None)

    def _server_arguments(self, port: int) -> list[str]:
        self.reports.next_server()
        chances = [f"{kind}={self._chance.choice([0, 0.02, 0.1])}" for kind in KINDS]
        always_replay = self._chance.choice(["true", "false"])
        faults = [*chances, f"always_replay={always_replay}", f"seed={self._chance.randrange(10**6)}", "late_by=200ms"]
        return ["tests.soak.server", str(self.database), str(port), ",".join(faults)]

    async def run(self, seconds: float) -> list[str]:
        """Return the losses."""
        await self.server.start()
        await self.app.start()
        headers = {"authorization": f"Bearer {SIGNING_KEY}"}
        async with httpx.AsyncClient(base_url=self.server.url, timeout=60, headers=headers) as http:
            (await http.put(f"{self.app.url}/api/inngest")).raise_for_status()
            feed = Feed(http, self._chance)
            feeding = asyncio.create_task(feed.run())
            ends = time.monotonic() + seconds
            # One kill of an app for two of a server: it has less to lose.
            killers = [self._kill(self.server, 5.0, ends), self._kill(self.app, 10.0, ends)]
            await asyncio.gather(*killers, self._watch(feed, ends))
            feed.stopping = True
            feed.may_send.set()
            await feeding
            await self._drain(feed)
        codes = [await process.end(signal.SIGTERM) for process in (self.server, self.app)]
        lost = judge.losses(self.database, self.journal, feed.sent)
        lost += [f"the server ended with {codes[0]}"] if codes[0] != 0 else []
        return lost + sorted(self.reports.wrong)

    async def _kill(self, process: Process, longest: float, ends: float) -> None:
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self._chance.uniform(0.0, longest)))
            await process.end(signal.SIGKILL)
            # One in five dies again while it starts.
            while not await process.start(self._chance.uniform(0.1, 0.6) if self._chance.random() < 0.2 else 60.0):
                await process.end(signal.SIGKILL)

    async def _watch(self, feed: Feed, ends: float) -> None:
        begun, told_at = time.monotonic(), 0.0
        while (now := time.monotonic()) < ends:
            runs, ended = judge.count_runs(self.database)
            (feed.may_send.set if runs - ended < MOST_WAITING else feed.may_send.clear)()
            with contextlib.suppress(httpx.HTTPError):
                await self._release_waiting(feed) if not feed.may_send.is_set() else None
            if now - told_at >= 10:
                told_at = now
                self.tell(f"{now - begun:4.0f} s")
            await asyncio.sleep(0.5)

    async def _release_waiting(self, feed: Feed) -> None:
        """Let go what was released before it waited, and in the end what was there to be waited for in vain."""
        numbers = set(judge.waiting_numbers(self.database))
        for n in {n for n in numbers if n >= 0} or numbers:
            await feed.release(n)

    async def _drain(self, feed: Feed) -> None:
        """Wait until every run has ended; give up where none does any more."""
        ended_before, changed_at = -1, time.monotonic()
        while judge.waiting_numbers(self.database) or judge.read(self.database, judge.LEFT["queue"]) != [(0,)]:
            await self._release_waiting(feed)
            _, ended = judge.count_runs(self.database)
            if ended != ended_before:
                ended_before, changed_at = ended, time.monotonic()
            elif time.monotonic() - changed_at > PATIENCE:
                return
            await asyncio.sleep(0.5)

    def tell(self, when: str) -> None:
        """Write how far it is."""
        runs, ended = judge.count_runs(self.database)
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.reports.injected.items())) or "none"
        kills = f"{self.server.kills} of the server, {self.app.kills} of the app"
        sys.stdout.write(f"{when}: {runs} runs, {ended} ended; kills: {kills}; faults: {faults}\n")
        sys.stdout.flush()


def main() -> int:
    """Read the arguments, run, and say what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long; default %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what decides faults and kills")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stepserve-soak-"))
    sys.stdout.write(f"seed {arguments.seed}, {arguments.minutes:g} minutes, in {folder}\n")
    soak = Soak(folder, arguments.seed)
    lost = asyncio.run(soak.run(arguments.minutes * 60))
    soak.tell("end")
    for loss in lost[:50]:
        sys.stdout.write(f"lost: {loss}\n")
    sys.stdout.write(f"losses: {len(lost)}\n")
    if not lost:
        shutil.rmtree(folder)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
