"""Writes a ripcord configuration for the simulated accounts; the only place that puts their keys on a disk."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from simulator.accounts import Account
from simulator.venues import VENUES

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


def write_config(path: Path, simulator_url: str, accounts: Iterable[Account], redis_url: str | None = None) -> None:
    """Write *path*, and each secret into a file of its own (mode 0600) in the directory ``<path>.secrets`` beside it.

    Accounts with a public key are left out: their private key is not known here.
    """
    secrets = path.with_name(f"{path.name}.secrets").absolute()
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = ["[redis]", f"url = {_quote(redis_url or DEFAULT_REDIS_URL)}"]
    for account in accounts:
        if account.public_pem is not None:
            continue
        base_url = f"{simulator_url}{VENUES[account.venue].root}"
        lines += ["", f"[accounts.{_quote(account.name)}]", f"venue = {_quote(account.venue)}"]
        lines.append(f"base_url = {_quote(base_url)}")
        for name, value in account.keys().items():
            file = secrets / f"{account.name}.{name}"
            _write_secret(file, value)
            lines.append(f"{name} = {_quote(f'file:{file}')}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_secret(file: Path, value: str) -> None:
    file.unlink(missing_ok=True)  # so that the mode below counts, and no link is followed
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a TOML basic string has JSON's escapes
