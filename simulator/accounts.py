"""The keys of the simulated accounts, all made up; the only place that makes any."""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

CREDENTIALS: Final[Mapping[str, tuple[str, ...]]] = {
    "crypto_com": ("api_key", "api_secret"),
    "binance": ("api_key", "api_secret"),
    "upbit": ("api_key", "api_secret"),
    "kuna": ("api_key", "public_key", "api_secret"),
    "weex": ("api_key", "api_secret", "passphrase"),
}


class OnceOnly:
    """The last ``size`` things that were used up."""

    def __init__(self, size: int = 200_000) -> None:
        self._size = size
        self._order: deque[str] = deque()
        self._used: set[str] = set()

    def use(self, thing: str) -> bool:
        """Use up *thing*; False if it was already."""
        if thing in self._used:
            return False
        self._used.add(thing)
        self._order.append(thing)
        if len(self._order) > self._size:
            self._used.discard(self._order.popleft())
        return True


@dataclass(slots=True)
class Account:
    """One account of one venue. ``public_pem`` is for Binance's keys that are not HMAC (RSA or Ed25519, PEM).

    With it there is no ``api_secret``: a venue that was given a public key never sees the private one.
    """

    name: str
    venue: str
    api_key: str
    api_secret: str | None
    passphrase: str | None = None
    public_key: str | None = None
    public_pem: str | None = None
    used: OnceOnly = field(default_factory=OnceOnly, repr=False)
    secret_bytes: bytes = field(init=False, repr=False)
    verifier: Ed25519PublicKey | RSAPublicKey | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.secret_bytes = (self.api_secret or "").encode()
        if self.public_pem is not None:
            key = load_pem_public_key(self.public_pem.encode())
            if not isinstance(key, Ed25519PublicKey | RSAPublicKey):
                raise ValueError("public_pem must be an RSA or Ed25519 public key")
            self.verifier = key

    def keys(self) -> dict[str, str]:
        """Give the credentials under the names that a configuration has for them."""
        names = ("api_key", "api_secret", "passphrase", "public_key")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def made_up(account: str, field_name: str) -> str:
    """Make up a credential that is the same in every run, and that no real account has."""
    digest = hashlib.sha256(f"ripcord simulator {account} {field_name}".encode()).hexdigest()
    return f"weex_{digest[:32]}" if account.startswith("weex") and field_name == "api_key" else digest[:48]


def make_account(venue: str, name: str, given: Mapping[str, str] | None = None) -> Account:
    """Make an account with the credentials *given* and made-up ones for the rest."""
    keys = {field_name: made_up(name, field_name) for field_name in CREDENTIALS[venue]} | dict(given or {})
    api_secret = None if "public_pem" in keys else keys["api_secret"]
    return Account(
        name,
        venue,
        keys["api_key"],
        api_secret,
        keys.get("passphrase"),
        keys.get("public_key"),
        keys.get("public_pem"),
    )
