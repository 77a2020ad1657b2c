#!/bin/sh
# What compose.yaml expects of PostgreSQL's image, in its least form: as root it hands the data over; as postgres it
# makes the database in an empty folder, runs /docker-entrypoint-initdb.d, and then the server.
set -eu

if [ "$(id -u)" = 0 ]; then
  chmod 700 "$PGDATA"
  find "$PGDATA" /run/postgresql ! -user postgres -exec chown postgres {} +
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(mktemp)
  echo "$POSTGRES_PASSWORD" >"$password"
  initdb --username="$POSTGRES_USER" --pwfile="$password" --auth-host=scram-sha-256 --locale=C.UTF-8
  rm "$password"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait --options="-c listen_addresses=''" start
  createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
  for script in /docker-entrypoint-initdb.d/*.sh; do "$script"; done
  pg_ctl --wait --mode=fast stop
fi
exec postgres -c listen_addresses='*'
