#!/usr/bin/env bash
# Starts Kith on three Garage nodes; what is done already is left alone.
set -euo pipefail
cd "$(dirname "$0")"

random() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
if [ ! -f .env ]; then
    (umask 077 && cat >.env <<EOF
GARAGE_RPC_SECRET=$(random 32)
S3_KEY=GK$(random 12)
S3_SECRET=$(random 32)
NODE_SECRET=$(random 32)
EOF
    )
fi
. ./.env

garage() { docker compose exec -T "$1" /garage "${@:2}"; }

if [ "${1:-}" = status ]; then
    garage garage1 status
    exit
fi

docker compose up -d garage1 garage2 garage3 balancer
for node in garage1 garage2 garage3; do
    until garage "$node" node id -q >/dev/null 2>&1; do sleep 1; done
done
for node in garage2 garage3; do
    garage garage1 node connect "$(garage "$node" node id -q | cut -d@ -f1)@$node:3901"
done
if garage garage1 layout show | grep -q "version: 0\|no nodes"; then
    for node in garage1 garage2 garage3; do
        garage garage1 layout assign -z "$node" -c "${CAPACITY:-100G}" "$(garage "$node" node id -q | cut -d@ -f1)"
    done
    garage garage1 layout apply --version 1
fi
garage garage1 key info kith >/dev/null 2>&1 ||
    garage garage1 key import --yes -n kith "$S3_KEY" "$S3_SECRET" >/dev/null
garage garage1 bucket info kith >/dev/null 2>&1 || garage garage1 bucket create kith
garage garage1 bucket allow --read --write kith --key kith >/dev/null
docker compose up -d --build kith media-node
