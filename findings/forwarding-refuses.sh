#!/usr/bin/env bash
# Forwarding mode of custom handlers answers a chunked body, and a Content-Type that .NET cannot parse, with an empty 500.
#
# Version: Azure Functions host 4.1045.200 on .NET 9.0.7.
# Chunked bodies are what C#'s PostAsJsonAsync, a Python generator, a stream of node's fetch or Go's io.Reader of unknown
# length send. One would expect them to be passed on, or 411. Seen with "enableForwardingHttpRequest": 500 with nothing in it,
# the handler is never called. The same for "application/json;", which many servers take. The same calls pass in proxy mode
# ("enableProxyingHttpRequest").
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
. ./host
url() { echo "http://127.0.0.1:$port/api/any/x"; }
json='Content-Type: application/json'
for mode in Forwarding Proxying; do
  host_start $mode
  if [ $mode = Forwarding ]; then want="500 0, handler called 0 times"; else want="200 2, handler called 1 times"; fi
  expect "$mode, body with a length" "200 2, handler called 1 times" \
    "$(call -H "$json" -d '{}' "$(url)"), handler called $(calls 'len(calls)') times"
  : >"$work/calls"
  expect "$mode, the same body chunked" "$want" \
    "$(call -H "$json" -H 'Transfer-Encoding: chunked' -d '{}' "$(url)"), handler called $(calls 'len(calls)') times"
  : >"$work/calls"
  expect "$mode, Content-Type application/json;" "$want" \
    "$(call -H "$json;" -d '{}' "$(url)"), handler called $(calls 'len(calls)') times"
  host_stop
done
