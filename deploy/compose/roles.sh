#!/bin/sh
# Run once by PostgreSQL's image, in an empty database: the application's login, which may not change the schema.
# The migrations give semblance_service its rights.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'END'
\getenv password APP_PASSWORD
CREATE ROLE semblance_service NOLOGIN;
CREATE ROLE semblance_app LOGIN PASSWORD :'password' IN ROLE semblance_service;
END
