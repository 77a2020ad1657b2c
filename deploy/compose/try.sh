#!/usr/bin/env bash
# Runs compose.yaml where no registry of images can be reached, as a user who may use Docker, on Debian or Ubuntu:
#
#   deploy/compose/try.sh [FOLDER]
#
# The base image is Debian, from debootstrap, which needs root once. On it the Dockerfile is built, and the images of
# others from Debian's packages (deploy/compose/try/Dockerfile). Then the commands of docs/operations.md are run in
# FOLDER: start, sign in, upload, match, watch, back up, stop, start again, restore into new volumes.
# SEMBLANCE_IMAGE names an image to try in place of building one, PORT the port of the service.
# What cannot be seen this way are the images that the Dockerfile and compose.yaml name, S3 and Grafana.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:-$(mktemp -d)}
port=${PORT:-8000}
mkdir -p "$folder"
docker compose version >/dev/null || { echo 'Docker with Compose 2.24 or later is missing' >&2; exit 1; }

say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

if ! docker image inspect semblance-base >/dev/null 2>&1; then
  say 'The base image'
  command -v debootstrap >/dev/null || { echo 'debootstrap is missing (apt install debootstrap)' >&2; exit 1; }
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$folder/root" >"$folder/debootstrap.log"
  # Registries behind a certificate of your own work in the image as they do here.
  $sudo cp -L /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/ca-certificates.crt"
  bundle=/etc/ssl/certs/ca-certificates.crt
  $sudo tar --create --one-file-system --directory "$folder/root" . |
    docker import --change "ENV SSL_CERT_FILE=$bundle PIP_CERT=$bundle NODE_EXTRA_CA_CERTS=$bundle" - semblance-base
  $sudo rm -rf "$folder/root"
fi

say 'The images'
build() { docker build --network host "$@" >"$folder/build.log" 2>&1 || { tail -n 30 "$folder/build.log" >&2; exit 1; }; }
if [ -z "${SEMBLANCE_IMAGE:-}" ]; then
  # The first line names a frontend in a registry; Docker has one built in.
  sed '1{/^# syntax=/d}' Dockerfile >"$folder/Dockerfile"
  build --target cpu --build-arg PYTHON_IMAGE=semblance-base -t semblance:cpu -f "$folder/Dockerfile" .
fi
image_of() { sed -n "/^  $1:/,/image:/s/.*image: //p" compose.yaml; }
for service in db prometheus; do
  build --target "$service" -t "$(image_of "$service")" deploy/compose/try
done
docker image ls

cp -r compose.yaml deploy "$folder/"
cd "$folder"
deploy/compose/secrets.sh >.env && chmod 600 .env
sed -i "s/^SEMBLANCE_LISTEN=.*/SEMBLANCE_LISTEN=127.0.0.1:$port/" .env
export COMPOSE_PROJECT_NAME=semblance-try
ended() {
  [ "$?" = 0 ] || docker compose --profile '*' logs --tail 30 >&2
  docker compose --profile '*' down --volumes --timeout 90 >/dev/null 2>&1
}
trap ended EXIT
in_app() { docker compose exec -T app "$@"; }
url=http://127.0.0.1:$port

say 'Up'
time docker compose up --detach --wait
in_app semblance status
in_app semblance doctor
in_app semblance console
curl --fail --silent "$url/ready"

say 'What the containers may do'
in_app cat /proc/1/status | grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):'
in_app cat /proc/1/status | grep -q '^CapBnd:.*0000000000000000' || fail 'the service has capabilities'
[ "$(in_app id -u)" = 10001 ] || fail 'the service runs as another user'
! in_app touch /written 2>/dev/null || fail 'the root file system can be written'
. ./.env
as_app() { docker compose exec -T db psql --quiet "postgresql://semblance_app:$APP_PASSWORD@127.0.0.1/semblance" -c "$1"; }
as_app 'SELECT count(*) FROM faces' >/dev/null
! as_app 'CREATE TABLE public.mine ()' 2>/dev/null || fail 'the service may change the schema'
[ "$(docker network inspect "${COMPOSE_PROJECT_NAME}_database" --format '{{.Internal}}')" = true ] ||
  fail 'the network of the database leads elsewhere'

say 'Two users'
ada=$(in_app semblance token create --email ada@example.edu)
bob=$(in_app semblance token create --email bob@example.edu)
docker compose exec -T -e SEMBLANCE_SMOKE_TOKEN="$ada" -e SEMBLANCE_SMOKE_OTHER_TOKEN="$bob" app \
  semblance smoke http://127.0.0.1:8000
in_app sh -c 'cat /opt/semblance/lib/python3*/site-packages/skimage/data/astronaut.png' >photo.png
curl --fail --silent -H "Authorization: Bearer $ada" -F file=@photo.png "$url/api/faces" >/dev/null
faces() { curl --fail --silent -H "Authorization: Bearer $ada" "$url/api/faces"; }
face=$(faces | grep -oE '"id":"[0-9a-f-]{36}"' | head -n 1)
[ -n "$face" ] || fail 'the photo has no row'

say 'Prometheus'
in_app semblance keys create --name Prometheus --scope metrics >metrics.key
chmod 644 metrics.key
docker compose --profile monitoring up --detach prometheus
in_app python - <<'END'
import json, time, urllib.request
for _ in range(60):
    try:
        answer = json.load(urllib.request.urlopen("http://prometheus:9090/api/v1/query?query=up"))
        if [each["value"][1] for each in answer["data"]["result"]] == ["1"]:
            print("collects the metrics")
            raise SystemExit
    except OSError:
        pass
    time.sleep(1)
raise SystemExit("Prometheus does not collect the metrics")
END

say 'A sealed backup'
give() { docker run --rm --volume "$PWD:/here" semblance-base chown 10001 "/here/$1"; }
mkdir backups && give backups
read -r key recipient < <(in_app python -c \
  'from pyrage.x25519 import Identity; key = Identity.generate(); print(key, key.to_public())')
(umask 077 && echo "$key" >backup.key) && give backup.key
docker compose run --rm backup backup /backups --keep 14 --recipient "$recipient"

say 'Down, and up again'
time docker compose --profile monitoring down --timeout 90
docker compose up --detach --wait
faces | grep -qF "$face" || fail 'the photo is lost'

say 'Another image'
printf 'FROM %s\nLABEL another=yes\n' "${SEMBLANCE_IMAGE:-semblance:cpu}" | docker build --quiet -t semblance:another -
SEMBLANCE_IMAGE=semblance:another docker compose up --detach --wait
faces | grep -qF "$face" || fail 'the photo is lost'

say 'Restored into new volumes'
docker compose down --volumes --timeout 90
docker compose run --rm --volume "$PWD/backup.key:/backup.key:ro" backup restore /backups --identity /backup.key
docker compose up --detach --wait
faces | grep -qF "$face" || fail 'the photo was not restored'

say 'All of it works'
