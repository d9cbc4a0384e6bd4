#!/usr/bin/env bash
# azure-mgmt-security 2.0.0 (PyPI): the second page of JIT policies is an AttributeError before it is asked for.
#
# Version: azure-mgmt-security 2.0.0 with azure-core 1.35.0.
# The client follows a nextLink with "the client's api-version", which it looks up in a configuration that has none, since
# SecurityCenter joins many versions. One would expect it to follow the link. Seen with a
# loopback server in place of Resource Manager: one request, then AttributeError; a list of one page works. Only an
# environment with more policies than fit in a page shows it. Version 7.0.0 is not looked at here.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install azure-mgmt-security==2.0.0 azure-core==1.35.0 azure-mgmt-core==1.6.0 msrest==0.7.1
got=$("$work/venv/bin/python" - <<'PY'
import http.server, json, threading
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.security import SecurityCenter

asked, pages = 0, 1

class Manager(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        answer = {"value": [{"name": f"policy{asked}", "properties": {"virtualMachines": []}}]}
        if asked < pages:
            answer["nextLink"] = f"{base}{self.path}&$skiptoken=2"
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass

class Nobody:
    def get_token(self, *scopes, **options):
        return AccessToken("none", 9999999999)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Manager)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
client = SecurityCenter(Nobody(), "00000000-0000-0000-0000-000000000001", base_url=base, authentication_policy=SansIOHTTPPolicy())
for pages in 1, 2:
    asked = 0
    try:
        seen = [policy.name for policy in client.jit_network_access_policies.list()]
    except AttributeError as error:
        seen = f"AttributeError: {error}"
    print(f"{pages} to have, {asked} asked for: {seen}", end="; ")
PY
)
expect "pages" "1 to have, 1 asked for: ['policy1']; 2 to have, 1 asked for: AttributeError: 'SecurityCenterConfiguration' object has no attribute 'api_version'; " "$got"
