# The image of every Airflow component: Airflow's own, with the project's locked dependencies.
FROM apache/airflow:3.3.2-python3.11

USER root
RUN apt-get update \
  && apt-get install -y --no-install-recommends libgomp1 \
  && rm -rf /var/lib/apt/lists/*

USER airflow
WORKDIR /opt/airflow
COPY --chown=airflow:root requirements.txt pyproject.toml README.md LICENSE ./
COPY --chown=airflow:root include ./include
RUN pip install --no-cache-dir -c requirements.txt -e ".[production]"
COPY --chown=airflow:root sql ./sql
COPY --chown=airflow:root plugins ./plugins
COPY --chown=airflow:root dags ./dags
