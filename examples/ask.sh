#!/bin/sh
# Ask a running twin and change it, with nothing but curl (and python3 to pick a field out of JSON).
# Usage: sh examples/ask.sh [URL]     Start a twin first: twin up
set -eu
URL="${1:-${TWIN_URL:-http://127.0.0.1:8600}}"

call() { # call PATH [more of curl]
    path="$1"
    shift
    curl --silent --show-error --fail-with-body ${TWIN_TOKEN:+-H "Authorization: Bearer $TWIN_TOKEN"} "$@" "$URL$path"
}
post() { # post PATH BODY [more of curl]; the twin takes JSON only
    path="$1" body="$2"
    shift 2
    call "$path" -X POST -H "Content-Type: application/json" -d "$body" "$@"
}
pick() { # pick FIELD[.FIELD]: print it from the JSON that comes in
    python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, name: value[name], sys.argv[1].split("."), json.load(sys.stdin)))' "$1"
}

echo "== How is the network?"
post /v1/ask '{"text": "How is the network doing?"}' | pick text

echo "== A question with its evidence"
post /v1/ask '{"text": "What is the load of cell 7-2?"}' | python3 -m json.tool

echo "== The same figure as a series, without words"
call "/v1/kpis?entity=cell-7-2&kpi=RRU.PrbTotDl&from=-10s" | pick points

echo "== Propose one degree more tilt: digitalTilt is in 0.1 degrees"
TILT=$(call /v1/entities/cell-7-2 | pick attributes.digitalTilt)
TILT="${TILT%.*}"
[ "$TILT" -lt 140 ] || TILT=50 # this twin allows 15 degrees at most
CHANGE=$(post /v1/changes "{\"reason\": \"less overlap with site 8\", \"actions\":
    [{\"entity\": \"cell-7-2\", \"attribute\": \"digitalTilt\", \"value\": $((TILT + 10))}]}" \
    -H "Idempotency-Key: ask-sh-$$-$(date +%s)")
echo "$CHANGE" | python3 -m json.tool
ID=$(echo "$CHANGE" | pick id)
STATE=$(echo "$CHANGE" | pick state)

echo "== The shadow twin tries it out on a copy of the network"
while [ "$STATE" = proposed ]; do
    sleep 0.5
    STATE=$(call "/v1/changes/$ID" | pick state)
done
call "/v1/changes/$ID" | pick shadow.in_words
DIGEST=$(call "/v1/changes/$ID" | pick digest)

echo "== Approve exactly this plan and what the shadow said of it (the digest says which)"
STATE=$(post "/v1/changes/$ID/approve" "{\"digest\": \"$DIGEST\"}" | pick state)

echo "== Its way, until it is committed or taken back"
while [ "$STATE" = approved ] || [ "$STATE" = applying ] || [ "$STATE" = verifying ]; do
    echo "$STATE"
    sleep 1
    STATE=$(call "/v1/changes/$ID" | pick state)
done
echo "$STATE"

echo "== What did it do?"
post /v1/ask '{"text": "What did the last change do?"}' | pick text

echo "== Undo is a proposal like any other; nothing happens until somebody approves it"
[ "$STATE" != committed ] || post "/v1/changes/$ID/undo" '{}' | pick id
