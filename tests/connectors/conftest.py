"""Fixtures for the tests of the connectors."""

from ipaddress import ip_address

import pytest
from cryptography import x509

from tests.connectors.peer import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1 that is its own authority."""
    return make_certificate(tmp_path_factory.mktemp("tls"), x509.IPAddress(ip_address("127.0.0.1")))
