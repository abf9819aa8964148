"""The three signatures that Binance takes; the only place that reads its private keys."""

import base64
import hmac
from functools import lru_cache
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from connectors.credentials import Credentials


def sign(payload: str, credentials: Credentials) -> str:
    """Sign *payload* with the private key where there is one, else with the secret.

    *payload* is the percent-encoded query exactly as it goes out; the signature comes ready for the URL.
    Raises ValueError for a private key that ``check_private_key`` refuses.
    """
    # https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#signed-endpoint-security, 2026-11-20
    if credentials.private_key is None:
        return hmac.new((credentials.api_secret or "").encode(), payload.encode(), "sha256").hexdigest()
    key, message = _private_key(credentials.private_key), payload.encode()
    signed = key.sign(message, PKCS1v15(), SHA256()) if isinstance(key, RSAPrivateKey) else key.sign(message)
    return quote(base64.b64encode(signed), safe="")


def check_private_key(pem: str) -> str | None:
    """Say why *pem* cannot sign for Binance, without a word of the key itself; None if it can."""
    try:
        _private_key(pem)
    except ValueError as error:
        return str(error)
    return None


@lru_cache(maxsize=64)  # reading an RSA key takes longer than signing with it
def _private_key(pem: str) -> RSAPrivateKey | Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("the private key is encrypted; give it without a password") from None
    except (ValueError, UnsupportedAlgorithm):  # not chained: the library's message may quote its input
        raise ValueError("the private key is not in PEM form (PKCS#8)") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        # https://github.com/binance/binance-spot-api-docs/blob/master/faqs/api_key_types.md, 2026-11-20
        raise ValueError("the private key is neither RSA nor Ed25519, and Binance takes no other")  # noqa: TRY004  # a wrong value of the right type
    return key
