#!/bin/sh
# Prints new secrets for compose.yaml: deploy/compose/secrets.sh > .env
set -eu

secret() {
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

cat <<END
# Passwords of the database: of its owner, who migrates, and of the application.
OWNER_PASSWORD=$(secret)
APP_PASSWORD=$(secret)
# For the profile \`monitoring\`: the user admin of Grafana.
GRAFANA_PASSWORD=$(secret)
# Where the service listens on this machine.
SEMBLANCE_LISTEN=127.0.0.1:8000
# Where \`docker compose run --rm backup\` writes. The folder belongs to uid 10001.
BACKUPS=./backups
# For the profile \`storage\`; without it pictures are kept in the volume \`home\`.
AWS_ACCESS_KEY_ID=semblance
AWS_SECRET_ACCESS_KEY=$(secret)
#AWS_ENDPOINT=http://s3:9000
#AWS_ALLOW_HTTP=true
#SEMBLANCE_STORAGE_URL=s3://semblance/pictures
END
