#!/usr/bin/env bash
# Kubernetes secrets from an .env of `make secrets`, as YAML on standard output:
#   deploy/kubernetes-secrets.sh .env NAMESPACE POSTGRES_HOST REDIS_HOST | kubectl apply -f -
set -euo pipefail
[[ $# == 4 && -r $1 ]] || { sed -n 's/^# \{0,1\}//p' "$0" | head -2 >&2; exit 2; }
namespace=$2 postgres=$3:5432 redis=$4:6379
set -a
# shellcheck disable=SC1090
source "$1"
set +a

secret() { # NAME KEY VALUE [KEY VALUE]...
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: { name: %s, namespace: %s }\nstringData:\n' "$1" "$namespace"
  shift
  while (($#)); do
    printf '  %s: "%s"\n' "$1" "$2"
    shift 2
  done
}

secret transfergate-metadata connection "postgresql+psycopg2://airflow:$AIRFLOW_DB_PASSWORD@$postgres/airflow"
secret transfergate-results connection "db+postgresql+psycopg2://celery:$CELERY_DB_PASSWORD@$postgres/celery"
secret transfergate-broker connection "redis://:$REDIS_PASSWORD@$redis/0"
secret transfergate-fernet fernet-key "$AIRFLOW_FERNET_KEY"
secret transfergate-api api-secret-key "$AIRFLOW_API_SECRET_KEY"
secret transfergate-jwt jwt-secret "$AIRFLOW_JWT_SECRET"
secret transfergate-store AWS_ACCESS_KEY_ID "$S3_ACCESS_KEY" AWS_SECRET_ACCESS_KEY "$S3_SECRET_KEY"
