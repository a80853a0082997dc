# The images of docker-compose.yaml, one target each. Python 3.11, locked packages, no root.
# Where an image is pulled, its tag is what was looked at; pin digests where you deploy.

# What every Python image starts from.
FROM python:3.11-slim-bookworm AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
  && apt-get install -y --no-install-recommends curl dumb-init libgomp1 \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 50000 --gid 0 --no-create-home --home-dir /opt/airflow airflow

# Packages apart from code: a change of code installs nothing anew. torch without CUDA.
FROM python AS packages
RUN python -m venv /opt/venv
COPY requirements-cluster.txt /tmp/
RUN /opt/venv/bin/pip install --extra-index-url https://download.pytorch.org/whl/cpu \
  "$(sed -n 's/^torch==.*/&+cpu/p' /tmp/requirements-cluster.txt)" \
  && /opt/venv/bin/pip install -r /tmp/requirements-cluster.txt
COPY pyproject.toml README.md LICENSE /opt/airflow/
RUN mkdir -p /opt/airflow/include && /opt/venv/bin/pip install --no-deps -e /opt/airflow

FROM python AS cuda-packages
RUN python -m venv /opt/venv
COPY requirements-cluster.txt /tmp/
# torch's default wheels bring CUDA with them: the machine needs NVIDIA's driver and nothing else.
RUN /opt/venv/bin/pip install -r /tmp/requirements-cluster.txt
COPY pyproject.toml README.md LICENSE /opt/airflow/
RUN mkdir -p /opt/airflow/include && /opt/venv/bin/pip install --no-deps -e /opt/airflow

# The code, and folders that volumes take their owner from.
FROM python AS code
COPY pyproject.toml README.md LICENSE /opt/airflow/
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY include /opt/airflow/include
COPY sql /opt/airflow/sql
COPY deploy /opt/airflow/deploy
RUN mkdir -p /opt/airflow/logs /opt/airflow/var \
  && chown -R 50000:0 /opt/airflow && chmod -R g=u /opt/airflow

FROM python AS cuda
COPY --from=cuda-packages /opt/venv /opt/venv
COPY --from=code --chown=50000:0 /opt/airflow /opt/airflow
ENV AIRFLOW_HOME=/opt/airflow PATH=/opt/venv/bin:$PATH
USER 50000:0
WORKDIR /opt/airflow
COPY deploy/entrypoint.sh /entrypoint
COPY deploy/clean-logs.sh /clean-logs
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]

# The MLflow server: its own packages, none of ours.
FROM python AS mlflow
COPY requirements-mlflow.txt /tmp/
RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r /tmp/requirements-mlflow.txt
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp
USER 50000:0
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/dumb-init", "--"]

# The store's own image, with a folder that belongs to no root.
FROM ghcr.io/versity/versitygw:v1.8.0 AS object-store
USER root
RUN mkdir -p /data && chown 50000:0 /data
USER 50000:0

# Last, so that `docker build .` makes it: api-server, scheduler, workers.
FROM python AS runtime
COPY --from=packages /opt/venv /opt/venv
COPY --from=code --chown=50000:0 /opt/airflow /opt/airflow
ENV AIRFLOW_HOME=/opt/airflow PATH=/opt/venv/bin:$PATH
USER 50000:0
WORKDIR /opt/airflow
COPY deploy/entrypoint.sh /entrypoint
COPY deploy/clean-logs.sh /clean-logs
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
