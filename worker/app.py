"""The Celery application: its settings, each with its reason, and its tasks."""

import sys
from typing import Any, Final

from celery import Celery, Task
from celery.exceptions import Ignore, WorkerShutdown
from celery.signals import setup_logging, worker_init, worker_ready, worker_shutdown, worker_shutting_down
from kombu.entity import Queue

from tasks.batch import PRIORITIES
from tasks.errors import DocumentRefused, RipcordError
from worker.broker import Amqp
from worker.logs import configure_logs, get_log
from worker.metrics import serve_metrics
from worker.service import Service
from worker.settings import config_path, load, log_format

QUEUE_PREFIX: Final = "ripcord."
CANCEL_BATCH: Final = "ripcord.cancel_batch"
SWITCH_S: Final = 0.0005  # a thread with an answer in hands waits so long for one that computes; Python's is 5 ms
DRAIN: Final = "ripcord.drain"


def queue(priority: str) -> str:
    """Name the Celery queue of a priority."""
    return QUEUE_PREFIX + priority


def make_app(redis_url: str) -> Celery:
    """Make the application.  Measurements behind the numbers: docs/decisions/0004-celery-settings.md."""
    app = Celery("ripcord", broker=redis_url, backend=redis_url, amqp=Amqp, set_as_current=False)
    app.conf.update(
        # The most urgent queue first; Celery asks Redis for them in this order.
        task_queues=[Queue(queue(p), routing_key=queue(p)) for p in PRIORITIES],
        task_default_queue=queue("risk"),
        worker_consumer="worker.broker:Consumer",
        worker_pool="threads",  # calls wait for the network: 64 threads make 640 calls/s where 8 processes make 141
        worker_concurrency=64,
        worker_prefetch_multiplier=1,  # a kill behind 2,000 clean-ups waits 5 ms; with 4 it waits 63
        task_acks_late=True,  # a hint or a document that dies with its worker comes again
        task_reject_on_worker_lost=True,
        worker_enable_remote_control=False,  # with it a restart of Redis kills the worker (15 of 15)
        worker_cancel_long_running_tasks_on_connection_loss=False,  # threads cannot be canceled; the truth is in Redis
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for Redis as long as it takes
        broker_channel_error_retry=True,  # what Redis refuses now (its disk is full, say) it may take later
        broker_pool_limit=16,
        task_ignore_result=True,  # outcomes are written by our own scripts; one answer for each batch is stored by hand
        result_expires=86_400,
        result_backend_thread_safe=True,  # without it every thread that ends a batch keeps a connection of its own
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_transport_options={
            "queue_order_strategy": "priority",  # round robin gave kills 134 of the first 400 turns
            "visibility_timeout": 3,  # a worker says every second that it lives; the messages of one that is silent
            "unacked_restore_interval": 1,  # for this long are put back
            "socket_timeout": 10,  # without them a frozen Redis hangs a call for ever
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
        },
        beat_scheduler="worker.beat:SweepScheduler",  # what runs [[sweeps]]; it writes no file
        broker_pool_acquire_timeout=2,
        redis_socket_timeout=10,
        redis_socket_connect_timeout=3,
        redis_socket_keepalive=True,
        task_publish_retry=True,  # without it a cold connection takes 6 s to fail
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    )
    return app


class StartRefused(SystemExit):
    """The worker cannot start with this configuration; ``error`` says why."""

    def __init__(self, error: RipcordError) -> None:
        super().__init__(f"ripcord: {error}")
        self.error = error


_settings = load(config_path(None))
app = make_app(_settings.redis_url)


def _hint(account: str, priority: str) -> None:
    """Tell some worker that *account* has work; a hint that is lost costs a second, until the watch looks."""
    app.send_task(DRAIN, [account], queue=queue(priority), ignore_result=True)


def _answer(task_id: str, found: dict[str, Any]) -> None:
    """Give a waiting task its report, or the errors of a refused batch."""
    if found["state"] == "refused":
        app.backend.store_result(task_id, _refused(found["errors"]), "FAILURE")
    else:
        app.backend.store_result(task_id, found, "SUCCESS")


def _refused(errors: list[str]) -> ValueError:
    return ValueError("; ".join(errors))


service = Service(_settings, _hint, _answer)


@app.task(name=DRAIN)
def drain(account: str) -> None:
    """Work on an account's lane for one slice, and pass the hint on if work may be left."""
    service.work_on(account)


@app.task(name=CANCEL_BATCH, bind=True, ignore_result=False, throws=(ValueError,))
def cancel_batch(self: Task, *args: object, **kwargs: object) -> dict[str, Any]:
    """Take in a batch document; the task's result is the batch's report, once that is done.

    The result of a document that is refused is a ValueError that lists every error.
    """
    try:
        submitted = service.take(_only_argument(args, kwargs), f"task-{self.request.id}")
    except DocumentRefused as error:
        raise _refused(list(error.errors)) from None
    found = service.await_report(submitted.batch_id, self.request.id)
    if found is None:
        raise Ignore  # no result yet: it is stored when the batch is done
    if found["state"] == "refused":
        raise _refused(found["errors"])
    return found


def _only_argument(args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """Give the one argument of the task, by place or as ``document``."""
    if len(args) + len(kwargs) != 1 or set(kwargs) - {"document"}:
        given = [f"{len(args)} by place", *(f"{name!r} by name"[:60] for name in kwargs)]
        error = DocumentRefused([f"{CANCEL_BATCH} takes one argument, the batch document; given: {', '.join(given)}"])
        service.client.record_refusal(error)
        raise error
    return args[0] if args else kwargs["document"]


@setup_logging.connect
def _set_up_logging(**_: object) -> None:
    configure_logs(log_format())


@worker_init.connect
def _serve_metrics(**_: object) -> None:
    try:
        serve_metrics()
    except RipcordError as error:
        # Celery passes over what a handler raises, if it is an ordinary exception.
        raise StartRefused(error) from None


@worker_ready.connect
def _start(**_: object) -> None:
    sys.setswitchinterval(SWITCH_S)
    try:
        service.start([name.removeprefix(QUEUE_PREFIX) for name in app.amqp.queues.consume_from])
    except Exception:  # noqa: BLE001  # as above: the worker would go on without its threads
        get_log().error("worker.not_started", exc_info=True)
        raise WorkerShutdown(1) from None  # whoever watches over processes starts it again


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    service.stop()


@worker_shutdown.connect
def _close(**_: object) -> None:
    service.close()
