#!/usr/bin/env bash
# Proxy mode of custom handlers loses the caller's address unless a setting of ASP.NET Core is there.
#
# Version: Azure Functions host 4.1045.200 on .NET 9.0.7.
# One would expect a proxy to append to X-Forwarded-For, or to keep it, as this host does in forwarding mode. Seen with
# "enableProxyingHttpRequest" (azure-functions-host #11035): X-Forwarded-For at the handler is the address of the connection
# alone, here 127.0.0.1, behind a front end the front end's; what the front end wrote is dropped. With the app setting
# ASPNETCORE_FORWARDEDHEADERS_ENABLED=true it is the last address of what came, without its port, and the rest is dropped.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
. ./host
seen() {
  call -H "X-Forwarded-For: 192.0.2.9, 198.51.100.8:4711" "http://127.0.0.1:$port/api/any/x" >/dev/null
  calls 'calls[-1]["headers"].get("x-forwarded-for")'
}
host_start Forwarding
expect "forwarding mode" "192.0.2.9, 198.51.100.8:4711" "$(seen)"
host_stop
host_start Proxying
expect "proxy mode" 127.0.0.1 "$(seen)"
host_stop
host_start Proxying ASPNETCORE_FORWARDEDHEADERS_ENABLED=true
expect "proxy mode with the setting" 198.51.100.8 "$(seen)"
