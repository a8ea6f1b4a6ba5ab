# One image for every step, on a laptop and on a cluster; `make image` builds it.
# Any Debian with the same Python can be the base: make image BASE_IMAGE=registry.example.com/python@sha256:...
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY requirements.txt .
# a certificate authority and a pip.conf of your network are lent to this command: no layer holds them
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip.conf --mount=type=cache,target=/var/cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    export PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_CACHE_DIR=/var/cache/pip; \
    python3 -m venv /opt/venv && \
    /opt/venv/bin/pip install --disable-pip-version-check --require-hashes --requirement requirements.txt

FROM ${BASE_IMAGE}
# DVC reads the data's repository with git; the group owns the checkpoint volume (pipeline/manifests)
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates git && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log && \
    groupadd --gid 10001 kdflow && useradd --uid 10001 --gid 10001 --create-home kdflow
# a mounted repository belongs to somebody else; a private one takes its password from the environment, which no other host gets
RUN git config --system safe.directory '*' && \
    git config --system credential.helper \
        '![ -n "$GIT_HOST" ] && grep -qxF "host=$GIT_HOST" && printf "username=%s\npassword=%s\n" "$GIT_USERNAME" "$GIT_PASSWORD" #'
COPY --from=packages /opt/venv /opt/venv
COPY . /kdflow
# the command kdflow, and the entry points for addresses such as models:/NAME@champion; needs no network
RUN /opt/venv/bin/pip install --disable-pip-version-check --no-cache-dir --no-index --no-deps --no-build-isolation --editable /kdflow
# a step finds the default parameters in its working folder, and may write beside them
RUN ln -s /kdflow/params.yaml /home/kdflow/params.yaml
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/kdflow \
    PYTHONUNBUFFERED=1 \
    DVC_NO_ANALYTICS=true \
    MLFLOW_DISABLE_TELEMETRY=true

# last, so that a new commit reuses every layer above that it did not change
ARG COMMIT
ENV KDFLOW_GIT_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="kdflow" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${COMMIT}"
USER 10001:10001
WORKDIR /home/kdflow
# no ENTRYPOINT: Kubeflow and its local Docker runner bring the whole command of a step
CMD ["kdflow", "--help"]
