"""Hints that an account has work: one that is lost costs half a second, until the watch looks."""

from tasks.ports import Hint, Log


def wake(hint: Hint, account: str, priority: str, log: Log) -> None:
    """Tell some worker that *account* has work of *priority*, if that can be told: what is at hand must go on."""
    try:
        hint(account, priority)
    except Exception as error:  # noqa: BLE001  # whatever carries hints has errors of its own
        log.warning("hint.lost", account=account, error=repr(error))
