#!/bin/sh
# The images' entrypoint: Airflow's command line, or another program where its name comes first, as
# Airflow's official Helm chart starts it (`/entrypoint python -m celery ...`).
case "${1:-}" in
  airflow | bash | python | sh) exec "$@" ;;
  *) exec airflow "$@" ;;
esac
