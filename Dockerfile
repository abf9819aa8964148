# Everything that is installed has a checked hash: what runs comes from requirements.lock, and what builds our own
# wheel from requirements-dev.lock, in a stage that is thrown away.
FROM python:3.13-slim AS wheel
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements-dev.lock ./
RUN pip install --require-hashes --only-binary :all: -r requirements-dev.lock
COPY pyproject.toml README.md LICENSE ./
COPY connectors ./connectors
COPY tasks ./tasks
COPY worker ./worker
COPY simulator ./simulator
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM python:3.13-slim
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1
COPY requirements.lock /tmp/
RUN pip install --require-hashes --only-binary :all: -r /tmp/requirements.lock && rm /tmp/requirements.lock
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel pip install --no-deps --no-index /wheel/*.whl

# The worker writes nothing.  Its home, which is the working directory too, is where `ripcord simulator
# --config-out` puts a configuration; it belongs to the user so that a volume mounted there does as well.
RUN useradd --uid 10001 --create-home --home-dir /var/lib/ripcord ripcord
USER ripcord
WORKDIR /var/lib/ripcord
ENTRYPOINT ["ripcord"]
CMD ["--help"]
