#!/usr/bin/env bash
# Proxy mode of custom handlers: an encoded slash arrives encoded twice, other encoded characters arrive decoded.
#
# Version: Azure Functions host 4.1045.200 (npm @gaaguiar/azure-functions-core-tools 4.12.0) on .NET 9.0.7.
# With "enableProxyingHttpRequest" in host.json (azure-functions-host #11035, not in the documentation of custom handlers) the
# host passes a call on as a stream. One would expect the path as it came. Seen at the handler: a%2Fb as a%252Fb, and so is
# a%252Fb, so the two cannot be told apart; a%2Bb as a+b; a%40b as a@b; the query string is left alone. Whoever carries a
# resource id, percent-encoded, in one segment of the path meets it.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
. ./host
host_start Proxying
for path in a%2Fb a%252Fb a%2Bb a%40b 'q?x=a%2Fb%40'; do call "http://127.0.0.1:$port/api/any/$path" >/dev/null; done
expect "sent a%2Fb a%252Fb a%2Bb a%40b q?x=a%2Fb%40, at the handler" "a%252Fb a%252Fb a+b a@b q?x=a%2Fb%40" \
  "$(calls '" ".join(c["path"].removeprefix("/api/any/") for c in calls)')"
