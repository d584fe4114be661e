#!/usr/bin/env bash
# Tests the running containers of the demo; docs/deployment.md says how to start it. Leaves it running, with more orders.
#
#     SANDBOX_LATENCY=200 docker compose --env-file deploy/demo/demo.env up --detach --build
#     deploy/check.sh
#
# DOCKER_COMPOSE: the command, if it is not `docker compose`.
set -euo pipefail
cd "$(dirname "$0")/.."

compose() { ${DOCKER_COMPOSE:-docker compose} --env-file deploy/demo/demo.env "$@"; }
say() { printf '\n-- %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
sandbox() { curl -fsS "http://127.0.0.1:${SANDBOX_PORT:-8090}/sandbox/documents" | grep -o "\"$1\": *[0-9]*" | grep -o '[0-9]*$'; }
started() { date --date "$(docker inspect --format '{{.State.StartedAt}}' "$(compose ps --all --quiet "$1")")" +%s.%N; }
seconds_between() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.2f s", to - from }'; }
seconds_since() { seconds_between "$1" "$(date +%s.%N)"; }

# until_true SECONDS COMMAND...: tries ten times a second
until_true() {
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || fail "waited in vain for: $*"; sleep 0.1; done
}
issued() { [ "$(sandbox invoices)" -ge "$1" ]; }
ready() { curl -fsS "http://127.0.0.1:${RECEIVER_PORT:-8080}/readyz"; }
none_in_state() { [ "$(compose exec -T receiver spacebridge issuances list --state "$1" --json)" = "[]" ]; }

# deliver COUNT: sends signed orders, eight at a time; prints how many were answered with 200
deliver() {
    compose exec -T sandbox python - "$1" <<'PYTHON'
import secrets, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
import requests
from bridge.embedded.recorded import sample_order
from bridge.web.signature import sign

def deliver(number):
    body = sample_order(number, datetime.now(UTC))
    headers = {"Content-Type": "application/json", "X-WC-Webhook-Topic": "order.created",
               "X-WC-Webhook-Signature": sign(body, "only-a-demo-signs-with-this")}
    try:
        answer = requests.post("http://receiver:8080/webhooks/shop", data=body, headers=headers, timeout=60)
    except requests.RequestException:
        return False
    return answer.status_code == 200

start = secrets.randbelow(2**30) + 1_000_000
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(deliver, range(start, start + int(sys.argv[1])))))
PYTHON
}

say "the demo's order has become an invoice"
until_true 30 issued 1
compose exec -T worker spacebridge doctor

say "image"
docker image inspect --format '{{.Size}} bytes, user {{.Config.User}}' "$(compose images --quiet receiver | head -1)"

say "users, rights (0 0: no capability, and none to be gained), and what they may write"
for service in receiver worker postgres redis sandbox; do
    compose exec -T "$service" sh -c 'printf "%-9s uid %s, capabilities %s %s, no_new_privs %s\n" "$1" \
        "$(id -u)" "$(sed -n "s/^CapEff:\t0*\(.\)/\1/p" /proc/1/status)" "$(sed -n "s/^CapBnd:\t0*\(.\)/\1/p" /proc/1/status)" \
        "$(sed -n "s/^NoNewPrivs:\t//p" /proc/1/status)"
        [ "$(id -u)" != 0 ] || { echo "root"; exit 1; }
        ! touch /srv/x /etc/x /usr/x /x 2>/dev/null || { echo "the root can be written"; exit 1; }
        touch /tmp/x && rm /tmp/x' sh "$service" || fail "$service"
done
for service in receiver worker; do
    ! compose exec -T "$service" sh -c 'command -v gcc cc make || /srv/spacebridge/bin/python -m pip' 2>/dev/null || fail "$service has build tools"
done
! docker history --no-trunc spacebridge | grep -iE 'postgresql://|requirepass|secret_key=' || fail "a secret in the image"
compose ps --format '{{.Service}} {{.Ports}}'
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}'

say "how long a start takes"
compose stop receiver 2>/dev/null
compose start receiver 2>/dev/null; until_true 30 ready; to=$(date +%s.%N)
echo "receiver, until it is ready: $(seconds_between "$(started receiver)" "$to")"
before=$(sandbox invoices)
compose stop worker 2>/dev/null
[ "$(deliver 1)" = 1 ] || fail "a delivery is not taken without a worker"
compose start worker 2>/dev/null; until_true 30 issued $((before + 1)); to=$(date +%s.%N)
echo "worker, until it has issued what waited for it: $(seconds_between "$(started worker)" "$to")"

say "the worker stops in the middle of 150 orders"
before=$(sandbox invoices)
[ "$(deliver 150)" = 150 ] || fail "not all were taken"
until_true 30 issued $((before + 5))
from=$(date +%s.%N); compose stop worker 2>/dev/null; echo "it took $(seconds_since "$from"); issued by then: $(($(sandbox invoices) - before))"
docker inspect --format 'its status: {{.State.ExitCode}}' "$(compose ps --all --quiet worker)"
none_in_state sending || fail "left half done"
compose start worker 2>/dev/null
until_true 60 issued $((before + 150))

say "the receiver stops in the middle of 600"
before=$(sandbox invoices)
deliver 600 > /tmp/acknowledged.$$ &
until_true 30 issued $((before + 5))
from=$(date +%s.%N); compose stop receiver 2>/dev/null; echo "it took $(seconds_since "$from")"
docker inspect --format 'its status: {{.State.ExitCode}}' "$(compose ps --all --quiet receiver)"
compose start receiver 2>/dev/null
wait %1; acknowledged=$(cat /tmp/acknowledged.$$); rm /tmp/acknowledged.$$
until_true 120 issued $((before + acknowledged))
echo "acknowledged $acknowledged, issued $(($(sandbox invoices) - before))"

say "four workers"
compose up --detach --no-build --no-recreate --scale worker=4 2>/dev/null
[ "$(compose ps --quiet --status running worker | wc -l)" = 4 ] || fail "no four workers"
before=$(sandbox invoices)
from=$(date +%s.%N); [ "$(deliver 200)" = 200 ] || fail "not all were taken"
until_true 60 issued $((before + 200)); echo "200 orders: $(seconds_since "$from")"

say "in the end"
for state in due sending held failed; do until_true 30 none_in_state "$state"; done
[ "$(sandbox duplicates)" = 0 ] || fail "issued twice: $(sandbox duplicates)"
echo "nothing is due, sending, held or failed; $(sandbox invoices) invoices, none twice"
