"""The stage that the end-to-end tests share, and the accounts on it."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.end_to_end.stage import VENUES, Stage, add_account, free_port, secrets_of, staged


@pytest.fixture(scope="session")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One Redis, simulator and worker for all tests that break none of them."""
    with staged(tmp_path_factory.mktemp("stage")) as stage:
        _add_accounts(stage, free_port())
        stage.worker()
        yield stage


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    """The shared stage, cleaned; its worker must have survived what was before."""
    shared_stage.clean()
    assert shared_stage.workers[0].running()
    return shared_stage


def _add_accounts(stage: Stage, away_port: int) -> None:
    """Add, for each venue, a second account, two with wrong keys, one whose venue is away, and other kinds of keys."""
    for venue in VENUES:
        for suffix in ("other", "wrong-secret", "wrong-passphrase", "wrong-key"):
            name = f"{venue}-{suffix}"
            secrets = secrets_of(venue, name)
            if suffix != "wrong-key":
                stage.control.add_account(venue, name)
            if suffix == "wrong-secret":
                secrets["api_secret"] = "0" * 48
            if suffix == "wrong-passphrase" and "passphrase" in secrets:
                secrets["passphrase"] = "0" * 48
            add_account(stage.config, name, venue, stage.simulator_url, secrets)
        add_account(
            stage.config, f"{venue}-away", venue, f"http://127.0.0.1:{away_port}", secrets_of(venue, f"{venue}-sim")
        )
    simple = secrets_of("kuna", "kuna-sim")["api_key"]
    add_account(stage.config, "kuna-simple", "kuna", stage.simulator_url, {"api_key": simple})
    upbit = secrets_of("upbit", "upbit-sim")
    add_account(stage.config, "upbit-hs512", "upbit", stage.simulator_url, upbit, jwt_algorithm="HS512")
    keys: dict[str, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa.generate_private_key(65537, 2048),
    }
    for kind, key in keys.items():
        name = f"binance-{kind}"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        made = stage.control.add_account("binance", name, public_pem=public)["keys"]["api_key"]
        add_account(stage.config, name, "binance", stage.simulator_url, {"api_key": made, "private_key": private})
