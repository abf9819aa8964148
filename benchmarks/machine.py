"""What the figures were measured on: nothing that names the machine."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from redis import Redis


def load() -> float:
    """Give the load average of the last minute."""
    return os.getloadavg()[0]


def describe(redis: Redis, loads: Sequence[float]) -> dict[str, str]:
    """Give the facts that figures depend on; *loads* are those before and after."""
    found: Any = redis.info("server")
    server = f"Valkey {found['valkey_version']}" if "valkey_version" in found else f"Redis {found['redis_version']}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "redis", "requests", "urllib3"))
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()}, {platform.machine()}",
        "Python": platform.python_version(),
        "server": server,
        "packages": packages,
        "load before and after": " and ".join(f"{load:.2f}" for load in loads),
    }
