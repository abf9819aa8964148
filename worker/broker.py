"""Celery's line to Redis, on which no message is lost; the only module that knows kombu's insides.

kombu pops a message first and notes it as unacknowledged second, so a worker that is killed in between takes it
along.  Here one script does both.  Such a script cannot block: it is asked once, and again whenever Redis tells
that one of the lists has changed (`CLIENT TRACKING`, https://redis.io/docs/latest/commands/client-tracking/,
read 2026-11-21), which costs a command a second where nothing happens.
"""

from importlib import resources
from queue import Empty
from typing import Any, Final

from celery.app.amqp import AMQP
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.connection import Connection as KombuConnection
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid
from redis import Connection as Socket
from redis import ResponseError

from tasks.clock import SystemClock
from worker.logs import get_log

RECONNECT_S: Final = 0.2  # kombu begins with 2 s and adds 2 s each time
RECONNECT_LONGEST_S: Final = 1.0
RESTORED_AT_ONCE: Final = 100
# What workers tell each other over pub/sub: ours meet in Redis' own keys.  A worker that listens there dies with
# "Unrecoverable error" when Redis is restarted (kombu reads once more from a channel it has closed).
ALONE: Final = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


class QoS(redis.QoS):
    """The messages in our hands: noted when they were taken, and kept ours as long as we live."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message that Redis has noted already."""
        virtual.QoS.append(self, message, delivery_tag)

    def restore_visible(self, *_: object, **__: object) -> None:
        """Look for new messages, say that we live, and put back what was in the hands of workers that are gone."""
        self.channel.look_again()
        with self.channel.conn_or_acquire() as client:
            mine = [self.visibility_timeout, RESTORED_AT_ONCE, *self._delivered]
            for tag in client.eval(_script("hold"), 1, self.unacked_index_key, *mine):
                try:
                    self.restore_by_tag(tag, client)
                except ValueError:  # its taker died of it, or just before throwing it away
                    self.channel.throw_away(tag)


class Channel(redis.Channel):
    """Takes messages with a script, and waits for news instead of blocking in a pop."""

    QoS = QoS
    _in_poll: Any  # the connection that is to be read from
    _brpop_sent_at: Any
    _tracked: tuple[object, list[str]] | None = None  # the socket and the queues of which Redis tells news
    _asked: tuple[str, list[str]] | None = None  # the tag and the queues of the question that is not answered yet

    def look_again(self) -> None:
        """Ask for a message although there was no news: the news may be lost, and so may the connection."""
        if self._in_poll and self._asked is None and self.qos.can_consume():
            self._ask()

    def skip_news(self) -> None:
        """Read news that come while nothing is wanted; the next question needs none."""
        connection: Socket = self.client.connection
        try:
            while connection.can_read():
                connection.read_response(push_request=True)
        except self.connection_errors:
            connection.disconnect()

    def throw_away(self, tag: str) -> None:
        """Forget a message that cannot be read; its tag may be none."""
        self.qos._remove_from_indices(tag).execute()  # noqa: SLF001  # kombu keeps it for itself

    def close(self) -> None:
        """Close; a message that is on its way to us goes back to its queue by itself."""
        self._in_poll = None
        super().close()

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        return parameters | {"protocol": 3}  # news come between the answers

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002  # kombu's name and signature
        self._in_poll = self.client.connection
        self._ask()

    def _ask(self) -> None:
        """Send the question for one message."""
        queues: list[str] = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            self._in_poll = None
            return
        self._track(queues)
        lists = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        keys = [self.unacked_key, self.unacked_index_key, *lists]
        names = [dumps(queue) for queue in queues] * len(self.priority_steps)
        self._asked = uuid(), queues
        self._brpop_sent_at = SystemClock().monotonic_s()
        self._in_poll.send_command("EVAL", _script("take"), len(keys), *keys, self._asked[0], *names)

    def _track(self, queues: list[str]) -> None:
        """Have Redis tell of every change of *queues* on this connection, from now on."""
        socket = self._in_poll._sock  # noqa: SLF001  # a connection that came back has another one, and no news
        if self._tracked is not None and self._tracked[0] is socket and self._tracked[1] == queues:
            return
        prefixes = [word for queue in queues for word in ("PREFIX", queue)]
        for command in (["OFF"], ["ON", "BCAST", "NOLOOP", *prefixes]):
            self._in_poll.send_command("CLIENT", "TRACKING", *command)
            while self._in_poll.read_response(push_request=True) is None:
                pass  # news of before
        self._tracked = socket, queues

    def _brpop_read(self, **_: object) -> bool:
        """Read answers and news until a message came or there is nothing more to read."""
        connection: Socket = self._in_poll
        try:
            while True:
                message = self._read(connection)
                if message is not None:
                    self._in_poll = None
                    self._flush_brpop_reauth()
                    return self._hand_on(*message)
                if not connection.can_read():
                    raise Empty
        except self.connection_errors:
            self._in_poll = self._asked = None
            connection.disconnect()
            raise

    def _read(self, connection: Socket) -> tuple[str, str, bytes] | None:
        """Read one thing: a message with its tag and queue, or None."""
        try:
            answer: Any = connection.read_response(push_request=True)
        except ResponseError as error:  # a Redis that cannot write to its disk, say: asked again in a second
            get_log().warning("broker.refused", error=str(error))
            answer = [0]
        if answer is None:  # news; an answer that is on its way came about after these
            if self._asked is None:
                self._ask()
            return None
        (tag, queues), self._asked, self._brpop_sent_at = self._asked or ("", [""]), None, None
        place, *message = answer
        return (tag, queues[(place - 1) % len(queues)], message[0]) if message else None

    def _hand_on(self, tag: str, queue: str, raw: bytes) -> bool:
        """Give a message to Celery; one that is none is thrown away, where kombu would end the worker."""
        try:
            message = loads(bytes_to_str(raw))
            message["properties"]["delivery_tag"] = tag
            message["properties"].setdefault("delivery_info", {"exchange": "", "routing_key": queue})
            if not self.Message(message, channel=self).body:
                raise LookupError("body")  # noqa: TRY301  # one of many ways of being no message
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            get_log().warning("message.unreadable", queue=queue, bytes=len(raw), error=type(error).__name__)
            self.throw_away(tag)
            return False
        self.connection._deliver(message, queue)  # noqa: SLF001  # kombu keeps it for itself
        return True


class Poller(redis.MultiChannelPoller):
    """kombu's poller, to which only a connection that Redis has closed says something unasked."""

    def on_readable(self, fileno: int) -> None:
        """Read what has come."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind == "BRPOP" and not channel._in_poll and fileno not in self._paused_brpop:  # noqa: SLF001
            channel.skip_news()
        else:
            super().on_readable(fileno)


class Transport(redis.Transport):
    """kombu's transport with our channel."""

    Channel = Channel
    cycle: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cycle = Poller()


class Connection(KombuConnection):
    """kombu's connection with our transport, back soon after Redis is."""

    def get_transport_cls(self) -> type[Transport]:
        """Give our transport, whatever scheme the address has."""
        return Transport

    def ensure_connection(self, errback: Any = None, max_retries: int | None = None, **options: Any) -> "Connection":
        """Connect, and try again soon, as long as it takes."""
        soon = {"interval_start": RECONNECT_S, "interval_step": RECONNECT_S, "interval_max": RECONNECT_LONGEST_S}
        super().ensure_connection(errback, max_retries, **(soon | options))
        return self


class Amqp(AMQP):
    """Celery's, with our connection."""

    Connection = BrokerConnection = Connection


class Consumer(CeleryConsumer):
    """Celery's, without what its workers tell each other."""

    def __init__(self, *arguments: Any, worker_options: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(*arguments, worker_options={**(worker_options or {}), **ALONE}, **options)


def _script(name: str) -> str:
    return resources.files("worker").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
