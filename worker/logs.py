"""Set up structured logs, to stderr; the only place that knows how an event is written."""

import logging
import sys
from typing import Final

import structlog

from tasks.ports import Log

FORMATS: Final = ("json", "console")


def configure_logs(log_format: str, level: int = logging.INFO) -> None:
    """Write every event as one line to stderr: ``json``, or ``console`` for people (the default on a terminal)."""
    chosen = log_format if log_format in FORMATS else "console" if sys.stderr.isatty() else "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        # Plain tracebacks: the fancy ones show local variables, and so keys and passwords.
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if chosen == "console"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, _without_nothing, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def get_log(**fields: object) -> Log:
    """Give a log whose every event carries *fields*."""
    log: Log = structlog.get_logger(**fields)
    return log


def _without_nothing(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.ProcessorReturnValue:
    """Leave out the fields that have no value."""
    return {name: value for name, value in event.items() if value is not None}
