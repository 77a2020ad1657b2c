# syntax=docker/dockerfile:1
#
# Semblance as an image: one Ray node with the API, or any of the commands.
#
#   docker build --target cpu -t semblance:cpu .
#   docker build --target gpu -t semblance:gpu .      (linux/amd64; onnxruntime-gpu has no build for arm64)
#
# It runs as uid 10001 on a read-only root file system: give it /tmp and /var/lib/semblance as writable volumes,
# and shared memory for Ray (`--shm-size`). compose.yaml does.

ARG PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm
# CUDA 13 and cuDNN 9, which the locked onnxruntime-gpu is linked against.
ARG CUDA_IMAGE=docker.io/nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04


# The environment of `make env`, which builds the console and the wheel.
FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The base image fixes Debian's release, whose packages change for security only.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements requirements
COPY Makefile pyproject.toml README.md ./
COPY semblance/__init__.py semblance/
RUN make .venv/.installed-dev
COPY . .
RUN .venv/bin/python -m tools.console build && .venv/bin/python -m hatchling build -t wheel -d dist


FROM ${CUDA_IMAGE} AS gpu
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/src,target=/src \
    python3 -m venv --without-pip /opt/semblance \
 && export VIRTUAL_ENV=/opt/semblance \
 && /src/.venv/.uv/bin/uv pip sync --no-cache --require-hashes --compile-bytecode /src/requirements/gpu.lock \
 && /src/.venv/.uv/bin/uv pip install --no-cache --no-deps --compile-bytecode /src/dist/*.whl \
 && useradd --uid 10001 --user-group --home-dir /var/lib/semblance --create-home semblance
ENV PATH=/opt/semblance/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
    SEMBLANCE_HOME=/var/lib/semblance SEMBLANCE_HOST=0.0.0.0 SEMBLANCE_PORT=8000
USER 10001:10001
WORKDIR /var/lib/semblance
VOLUME /var/lib/semblance
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=5)"]
ENTRYPOINT ["semblance"]
CMD ["up"]


# The last target is what `docker build .` makes.
FROM ${PYTHON_IMAGE} AS cpu
RUN --mount=type=bind,from=build,source=/src,target=/src \
    python3 -m venv --without-pip /opt/semblance \
 && export VIRTUAL_ENV=/opt/semblance \
 && /src/.venv/.uv/bin/uv pip sync --no-cache --require-hashes --compile-bytecode /src/requirements/cpu.lock \
 && /src/.venv/.uv/bin/uv pip install --no-cache --no-deps --compile-bytecode /src/dist/*.whl \
 && useradd --uid 10001 --user-group --home-dir /var/lib/semblance --create-home semblance
ENV PATH=/opt/semblance/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
    SEMBLANCE_HOME=/var/lib/semblance SEMBLANCE_HOST=0.0.0.0 SEMBLANCE_PORT=8000
USER 10001:10001
WORKDIR /var/lib/semblance
VOLUME /var/lib/semblance
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=5)"]
ENTRYPOINT ["semblance"]
CMD ["up"]
