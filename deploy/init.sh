#!/usr/bin/env bash
# The init step of docker-compose.yaml: the database, the administrator, the pools, the bucket.
# Running it again changes nothing that is there already.
set -euo pipefail

airflow db migrate

# An administrator that is there already keeps the password that it has by now.
airflow users create --role Admin --username "$ADMIN_USER" --password "$ADMIN_PASSWORD" \
  --firstname Transfer --lastname Gate --email "$ADMIN_USER@localhost"

# A task whose pool does not exist waits for ever. Training: as many at a time as there are workers.
pools=$(mktemp)
python - "$TRAINING_WORKERS" "$(dirname "$0")/../include/pools.json" > "$pools" <<'PYTHON'
import json, sys
pools = json.load(open(sys.argv[2]))
pools["gpu"]["slots"] = int(sys.argv[1])
print(json.dumps(pools))
PYTHON
mv "$pools" "$pools.json"
airflow pools import "$pools.json"

# The bucket, where artefacts lie in one.
if [[ ${TRANSFERGATE_ARTEFACTS:-} == s3://* ]]; then
  bucket=${TRANSFERGATE_ARTEFACTS#s3://}
  url="$AWS_ENDPOINT_URL/${bucket%%/*}"
  ask() { # the keys go in by standard input: arguments are there for all to read
    curl --silent --show-error --output /dev/null --write-out '%{http_code}' \
      --aws-sigv4 "aws:amz:$AWS_REGION:s3" --config - "$@" "$url" \
      <<< "user = \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\""
  }
  if [[ $(ask --head) != 200 ]]; then
    answer=$(ask --request PUT)
    [[ $answer == 200 ]] || { echo "bucket $url: not made, the store answered $answer" >&2; exit 1; }
  fi
fi
echo "ready: database, administrator $ADMIN_USER, pools, artefacts in ${TRANSFERGATE_ARTEFACTS:-}"
