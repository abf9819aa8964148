"""What stops the operation, one sentence each; what a venue says of an order is never an exception."""

from collections.abc import Sequence


class RipcordError(Exception):
    """Anything of ours that a caller may want to catch."""


class DocumentRefused(RipcordError, ValueError):
    """A batch document that was refused whole; nothing was sent.  ``errors`` lists every reason."""

    def __init__(self, errors: Sequence[str], batch_id: str | None = None) -> None:
        self.errors = tuple(errors)
        self.batch_id = batch_id
        super().__init__("; ".join(self.errors))


class UnknownBatch(RipcordError, LookupError):
    """No batch of this id is known (or it was forgotten after ``keep_days``)."""

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        super().__init__(f"no batch with the id {batch_id!r} is known")


class NotReplayable(RipcordError, ValueError):
    """A batch that is not done, or was refused: there is nothing yet, or nothing at all, to do again."""


class BadAddress(RipcordError, ValueError):
    """The address of Redis cannot be one."""


class Unreachable(RipcordError, ConnectionError):
    """Redis does not answer."""


class WaitTimeout(RipcordError, TimeoutError):
    """The batch was not done in the time given; it goes on."""
