#!/usr/bin/env bash
# The host ignores SIGTERM; SIGINT ends it, after the calls in flight.
#
# Version: Azure Functions host 4.1045.200 on .NET 9.0.7.
# Supervisors, containers and `timeout` end a program with SIGTERM, and ASP.NET Core programs stop on it. Seen: after SIGTERM this
# host goes on and answers new calls (watched for 5 seconds); after SIGINT it answers the call in flight with 200 and ends,
# and its handler with it.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
. ./host
host_start Proxying
kill -TERM "$host"
sleep 5
expect "a call 5 s after SIGTERM" "200 2" "$(call "http://127.0.0.1:$port/api/any/x")"
curl -s -o /dev/null -m 30 -w '%{http_code}' "http://127.0.0.1:$port/api/any/slow" >"$work/slow" &
slow=$!
for i in $(seq 50); do grep -q slow "$work/calls" && break; sleep 0.1; done
handler=$(cat "$work/handler.pid")
host_stop
wait "$slow" || true
expect "the call in flight at SIGINT" 200 "$(cat "$work/slow")"
for i in $(seq 50); do kill -0 "$handler" 2>/dev/null || break; sleep 0.1; done
expect "the handler afterwards" ended "$(kill -0 "$handler" 2>/dev/null && echo runs || echo ended)"
