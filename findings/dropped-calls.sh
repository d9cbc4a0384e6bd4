#!/usr/bin/env bash
# The host sends a call again, many times, when the handler closes its connection without an answer.
#
# Version: Azure Functions host 4.1045.200 on .NET 9.0.7.
# A handler that dies in the middle of a DELETE has perhaps done it already; one would expect one call and a 502. Seen: in
# forwarding mode a call without a body arrives 4 times, in proxy mode a GET or DELETE 40 times within about 2 seconds, a POST
# that says Content-Length: 0 10 times, all with one invocation id; a call with a body once. Then the client gets 500.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
. ./host
counted() {
  : >"$work/calls"
  local answer
  answer=$(call "$@" "http://127.0.0.1:$port/api/any/drop")
  echo "${answer% *} after $(calls 'len(calls)')"
}
host_start Forwarding
expect "forwarding mode, GET" "500 after 4" "$(counted)"
expect "forwarding mode, DELETE" "500 after 4" "$(counted -X DELETE)"
expect "forwarding mode, POST with a body" "500 after 1" "$(counted -d x)"
host_stop
host_start Proxying
expect "proxy mode, GET" "500 after 40" "$(counted)"
expect "proxy mode, DELETE" "500 after 40" "$(counted -X DELETE)"
expect "invocation ids of these 40" 1 "$(calls 'len({c["headers"]["x-azure-functions-invocationid"] for c in calls})')"
expect "proxy mode, POST with Content-Length: 0" "500 after 10" "$(counted -X POST -H 'Content-Length: 0')"
expect "proxy mode, POST with a body" "500 after 1" "$(counted -d x)"
