"""The workers of a soak, each started again when it ends, as deploy/ripcord-worker@.service has systemd do it."""

import signal
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tasks.ports import ClaimKind
from tests.end_to_end.stage import Process, Stage, wait_for_start
from tests.soak import vitals
from tests.soak.vitals import Vitals

RESTART_S: Final = 1.0  # RestartSec=1
STOP_S: Final = 30.0  # TimeoutStopSec=30
POSTS: Final = (  # the first is never killed nor ended: what it holds on to in the end shows what leaks
    ("general-1", ()),
    ("general-2", ()),
    ("kill-1", ("--queues", "kill", "--concurrency", "16")),
)

OWN_FAULTS: Final = ("batch.fault", "call.not_built", "drain.fault", "inbox.fault", "watch.fault")  # docs/operations.md


@dataclass(slots=True)
class Post:
    """One place in the crew, and the process that fills it."""

    name: str
    arguments: tuple[str, ...]
    process: Process
    started: int = 1
    ended_at_s: float | None = None
    asked_at_s: float | None = None


@dataclass(slots=True)
class Crew:
    """All posts.  ``tend`` does the service manager's work, and must be called again and again."""

    stage: Stage
    posts: list[Post] = field(default_factory=list)
    own_exits: int = 0
    faults: list[str] = field(default_factory=list)
    looks: list[Vitals | None] = field(default_factory=list)
    _killed: set[int] = field(default_factory=set)

    def fill(self, number: int = len(POSTS)) -> None:
        """Fill the first *number* posts, and wait until those work."""
        for name, arguments in POSTS[len(self.posts) : number]:
            self.posts.append(Post(name, arguments, self.stage.worker(*arguments, ready=False)))
        for post in self.posts:
            wait_for_start(post.process)

    @property
    def restarts(self) -> int:
        """How often a post was filled again."""
        return sum(post.started - 1 for post in self.posts)

    def post(self, victim: int, *, may_end: bool) -> Post:
        """Choose a post; one that may end is not the first."""
        candidates = self.posts[1:] if may_end else self.posts
        return candidates[victim % len(candidates)]

    def kill(self, post: Post) -> None:
        """End it as a crash or the kernel's OOM killer does."""
        self._killed.add(post.process.pid)
        post.process.send(signal.SIGKILL)

    def terminate(self, post: Post) -> None:
        """Ask it to end; whoever fills an empty post next was not asked."""
        if post.process.running():
            post.asked_at_s = post.asked_at_s or time.monotonic()
            post.process.send(signal.SIGTERM)

    def tend(self) -> None:
        """Note who has ended, fill posts that have been empty for a second, and kill who does not end when asked."""
        now_s = time.monotonic()
        for post in self.posts:
            if post.process.running():
                if post.asked_at_s is not None and now_s - post.asked_at_s > STOP_S:
                    self._fault(post, f"had not ended {STOP_S:g} s after SIGTERM")
                    post.asked_at_s = None
                    self.kill(post)
            elif post.ended_at_s is None:
                post.ended_at_s = now_s
                self._note_end(post)
            elif now_s - post.ended_at_s >= RESTART_S:
                post.process = self.stage.worker(*post.arguments, ready=False)
                post.started += 1
                post.ended_at_s = None

    def look(self) -> None:
        """Note what the first post's process holds now."""
        self.looks.append(vitals.read(self.posts[0].process.pid))

    def working(self) -> bool:
        """Say whether every post is filled by a process that has started to work."""
        return all(post.process.running() and post.process.events("worker.started") for post in self.posts)

    def seized(self) -> list[tuple[str, str, float]]:
        """Say which calls were taken from workers that seemed dead: the batch, the account, and when, in ms."""
        names = ("chunk.recovered", "chunk.late")
        rows = [row for process in self.stage.workers for name in names for row in process.events(name)]
        return [
            (row["batch"], row["account"], datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)
            for row in rows
            if row["kind"] == ClaimKind.SEND
        ]

    def written_faults(self) -> list[str]:
        """Say which workers have written of a fault of their own, or of a thread that ended by one."""
        found = []
        for process in self.stage.workers:
            rows = [row for name in OWN_FAULTS for row in process.events(name)]
            found += [f"worker of {process.log.name} wrote {row['event']}: {row['error']}" for row in rows]
            if any(line.startswith("Traceback") for line in process.text().splitlines()):
                found.append(f"worker of {process.log.name} wrote a traceback")
        return found

    def end(self) -> None:
        """End everybody in good order; who does not end, or leaves a process behind, is a fault."""
        for post in self.posts:  # a second SIGTERM would be a worse one
            try:
                code = post.process.end(timeout_s=STOP_S)
            except subprocess.TimeoutExpired:
                code = None
                self.kill(post)
            if code != 0:
                self._fault(post, f"ended with {code} after SIGTERM, in quiet times")
            if post.process.has_company():
                self._fault(post, "left processes behind that it had started")

    def _note_end(self, post: Post) -> None:
        code = post.process.end()
        asked, post.asked_at_s = post.asked_at_s, None
        if post.process.pid in self._killed:
            return
        if asked is None:
            self.own_exits += 1
        elif code != 0 and (code != -signal.SIGTERM or post.process.events("worker.started")):
            self._fault(post, f"ended with {code} after SIGTERM")  # before its start nobody has taken the signal over
        if post is self.posts[0]:
            self._fault(post, f"ended by itself with {code}")

    def _fault(self, post: Post, what: str) -> None:
        self.faults.append(f"worker {post.name} (pid {post.process.pid}, {post.process.log.name}) {what}")
