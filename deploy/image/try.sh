#!/usr/bin/env bash
# Builds the image `cpu` without a registry and runs it, as root on Debian or Ubuntu:
#
#   sudo deploy/image/try.sh [FOLDER]
#
# The base image is Debian with its Python, from debootstrap; buildah builds the Dockerfile on it. Then the service
# runs as a container would: uid 10001, no capabilities, a read-only root, a PID namespace of its own. What cannot be
# seen this way is the base image that the Dockerfile names.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
export BUILDAH_ISOLATION=chroot
for program in buildah debootstrap setpriv unshare; do
  command -v "$program" >/dev/null || { echo "$program is missing (apt install buildah debootstrap util-linux)" >&2; exit 1; }
done

if ! buildah inspect --type image localhost/semblance-base >/dev/null 2>&1; then
  echo 'Making the base image'
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/root" >"$folder/debootstrap.log"
  # Registries behind a certificate of your own work in the image as they do here.
  cp -L /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/ca-certificates.crt"
  base=$(buildah from scratch)
  buildah add -q "$base" "$folder/root" / >/dev/null
  for variable in SSL_CERT_FILE PIP_CERT NODE_EXTRA_CA_CERTS; do
    buildah config --env "$variable=/etc/ssl/certs/ca-certificates.crt" "$base"
  done
  buildah commit -q --rm "$base" localhost/semblance-base >/dev/null
  rm -rf "$folder/root"
fi

echo 'Building the image'
buildah build --format docker --target cpu --build-arg PYTHON_IMAGE=localhost/semblance-base -t localhost/semblance:cpu . >"$folder/build.log" 2>&1 ||
  { tail -n 20 "$folder/build.log" >&2; exit 1; }

container=$(buildah from localhost/semblance:cpu)
root=$(buildah mount "$container")
mkdir -p "$folder/home"
chown 10001:10001 "$folder/home"
ended() {
  if [ -n "${service:-}" ]; then
    pkill -TERM --parent "$service" || true
    wait "$service" || true
  fi
  buildah umount "$container" >/dev/null
  buildah rm "$container" >/dev/null
}
trap ended EXIT

port=${PORT:-8000}
# The first process of the namespace gets no signal that it does not handle; `semblance up` handles SIGTERM.
unshare --mount --pid --fork --kill-child bash -euc '
  root=$1 home=$2 port=$3
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o size=2g,mode=1777 tmpfs "$root/tmp"
  mount --bind "$home" "$root/var/lib/semblance"
  mount -o remount,bind,ro "$root"
  exec env -i HOME=/var/lib/semblance PATH=/opt/semblance/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 \
    SEMBLANCE_HOME=/var/lib/semblance SEMBLANCE_HOST=127.0.0.1 SEMBLANCE_PORT="$port" \
    chroot "$root" setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    semblance up
' container "$root" "$folder/home" "$port" >"$folder/run.log" 2>&1 &
service=$!

echo 'Waiting until it is ready'
for _ in $(seq 120); do
  if curl -sf -m 2 "http://127.0.0.1:$port/ready"; then
    echo
    du -sh "$root" | sed 's/\t.*/ is the size of the image/'
    exit 0
  fi
  kill -0 "$service" 2>/dev/null || break
  sleep 1
done
tail -n 20 "$folder/run.log" >&2
exit 1
