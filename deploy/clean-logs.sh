#!/bin/sh
# Deletes old files of Airflow's logs for as long as it runs: what the official Helm chart starts
# beside each component as `/clean-logs`.
set -eu
minutes=$((${AIRFLOW__LOG_RETENTION_DAYS:-15} * 1440 + ${AIRFLOW__LOG_RETENTION_MINUTES:-0}))
while :; do
  find "${AIRFLOW_HOME:-/opt/airflow}/logs" -type f -mmin "+$minutes" -delete || true
  sleep "$((${AIRFLOW__LOG_CLEANUP_FREQUENCY_MINUTES:-15} * 60))"
done
