"""One account's keys; the only type that holds a secret, and it never shows one."""

from dataclasses import dataclass, fields
from typing import Final

SHORTEST_KEY: Final = 8  # characters; a shorter value is no key of a venue, and may be a part of any word


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The keys of one account.  Which of them a venue needs stands in ``Venue.credential_sets``."""

    api_key: str
    api_secret: str | None = None
    passphrase: str | None = None
    public_key: str | None = None
    private_key: str | None = None
    jwt_algorithm: str = "HS256"

    def hide_in(self, answer: bytes) -> bytes:
        """Blot these keys out of *answer*: a venue may repeat what it was sent."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and len(value) >= SHORTEST_KEY and value.encode() in answer:
                answer = answer.replace(value.encode(), b"***")
        return answer

    def __repr__(self) -> str:
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        return f"Credentials({', '.join(given)})"
