# Two images of one command. `full` does everything; `slim` has no TensorFlow: all but train, export and verify.
#   docker build --target full -t toolkit:full .
#   docker build --target slim -t toolkit:slim .
# How to run them: docs/containers.md. Root file system read-only, any user, no network: all of that works.

# A deployment gives a digest, so that every build starts from the same bytes:
#   --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


# The build tools, in the folder that the finished environment will have: scripts name their interpreter by it.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PATH=/opt/venv/bin:${PATH}
WORKDIR /src
COPY requirements/build.txt requirements/
RUN python -m venv /opt/venv \
 && pip install --require-hashes --no-deps --requirement requirements/build.txt


# The dependencies, then without pip and whatever else only the build needed. Bytecode is made here, since a
# read-only root takes none later; it is never compared with its source, whose dates a copy may change.
FROM build AS core
SHELL ["/bin/bash", "-eu", "-o", "pipefail", "-c"]
COPY requirements/core.txt requirements/
RUN pip install --no-compile --require-hashes --no-deps --no-build-isolation --requirement requirements/core.txt \
 && sed -n 's/==.*//p' requirements/build.txt | grep -vxFf <(sed -n 's/==.*//p' requirements/core.txt) \
  | xargs pip uninstall --yes pip \
 && python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM build AS train
SHELL ["/bin/bash", "-eu", "-o", "pipefail", "-c"]
COPY requirements/train.txt requirements/
RUN pip install --no-compile --require-hashes --no-deps --no-build-isolation --requirement requirements/train.txt \
 && sed -n 's/==.*//p' requirements/build.txt | grep -vxFf <(sed -n 's/==.*//p' requirements/train.txt) \
  | xargs pip uninstall --yes pip \
 && python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib


# The project as a wheel, in a folder of its own: a change of the code renews this small layer and no other.
FROM build AS project
COPY pyproject.toml README.md LICENSE ./
COPY reports reports
COPY toolkit toolkit
RUN pip install --no-compile --no-deps --no-build-isolation --prefix /project . \
 && python -m compileall -qq --invalidation-mode unchecked-hash /project/lib


FROM ${PYTHON_IMAGE} AS runtime
# tini passes signals on and collects orphaned workers. Debian keeps no older versions that could be named here.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 0 -m 0775 /out
# Caches go to /tmp, which anybody can write to whatever the user and however it is mounted. /out is the run.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    TOOLKIT__OUT=/out
WORKDIR /out
USER 10001:0
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "toolkit"]
CMD ["--help"]
# Jobs that run once and end: the exit code is their health.
HEALTHCHECK NONE


FROM runtime AS slim
COPY --from=core /opt/venv /opt/venv
COPY --from=project /project /opt/venv
RUN toolkit --version
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="audio-lrp-toolkit (slim)" \
      org.opencontainers.image.description="Relevance maps of sounds, statistics and reports; no TensorFlow" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"


# Last, so that a build without --target gives the whole thing.
FROM runtime AS full
COPY --from=train /opt/venv /opt/venv
COPY --from=project /project /opt/venv
RUN toolkit --version
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="audio-lrp-toolkit" \
      org.opencontainers.image.description="Relevance maps, statistics and reports for networks that name sounds" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
