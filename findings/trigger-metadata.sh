#!/usr/bin/env bash
# A trigger's Metadata holds the properties of the message's JSON body, as text in the form of .NET, beside the system's own.
#
# Version: Azure Functions host 4.1045.200 on .NET 9.0.7.
# One would expect Metadata to hold what the host knows of the call. Seen, with a manual trigger: each property of a JSON body is
# spread into it as text that is JSON within JSON, and rewritten: true becomes True, 1.50 becomes 1.5, a date 2026-11-30T02:31:13Z becomes
# 11/30/2026 02:31:13 without its zone, arrays and nulls are left out; and a property named sys takes the place of the system's,
# which goes to $sys. So Metadata.sys.MethodName is what the sender of the message says. Read Data, never Metadata.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
. ./host
function_json work '{"type": "manualTrigger", "direction": "in", "name": "message"}'
mkdir "$work/secrets"
echo '{"masterKey": {"name": "master", "value": "of-this-run", "encrypted": false}, "functionKeys": [], "systemKeys": []}' >"$work/secrets/host.json"
host_start Proxying FUNCTIONS_SECRETS_PATH="$work/secrets"
python3 - >"$work/message" <<'PY'
import json
print(json.dumps({"input": '{"sys": {"MethodName": "other"}, "flag": true, "list": [1], "none": null, "number": 1.50, "at": "2026-11-30T02:31:13Z"}'}))
PY
expect "the host takes the message" 202 "$(call -H "x-functions-key: of-this-run" -H 'Content-Type: application/json' \
  --data-binary "@$work/message" "http://127.0.0.1:$port/admin/functions/work" | cut -d' ' -f1)"
for i in $(seq 100); do [ -s "$work/calls" ] && break; sleep 0.1; done
expect "Metadata without the message, what varies left out" \
  "{'sys': {'MethodName': 'other'}, 'flag': '\"True\"', 'number': '\"1.5\"', 'at': '\"11/30/2026 02:31:13\"', '\$sys': ['MethodName', 'RandGuid', 'UtcNow']}" \
  "$(calls '[(m.pop("message"), m.update({"$sys": sorted(m["$sys"])}), m)[-1] for m in [json.loads(calls[0]["body"])["Metadata"]]][0]')"
