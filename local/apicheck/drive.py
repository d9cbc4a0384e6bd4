"""Drives the API with the client that openapi-python-client generates: enable, request, list, revoke."""

import os
import sys

from portcullis_client import AuthenticatedClient
from portcullis_client.api.policies import enable
from portcullis_client.api.requests import request, requests, revoke
from portcullis_client.models import EnableBody, ErrorBody, GrantAnswer, RequestBody

client = AuthenticatedClient(base_url=os.environ["APP"], token=os.environ["TOKEN"], timeout=60)
vm = os.environ["VM"]


def sure(what, answer, kind):
    if not isinstance(answer, kind):
        sys.exit(f"{what}: {answer}")
    return answer


body = EnableBody.from_dict({"virtualMachines": [{"id": vm, "ports": [{"number": 22, "maxRequestAccessDuration": "PT3H"}]}]})
enabled = enable.sync(client=client, body=body)
if isinstance(enabled, ErrorBody) or len(enabled.virtual_machines) != 1:
    sys.exit(f"enable: {enabled}")
body = RequestBody.from_dict({"virtualMachines": [{"id": vm, "ports": [{"number": 22, "duration": "PT1H", "allowedSourceAddressPrefix": "203.0.113.7"}]}]})
opened = sure("request", request.sync(client=client, body=body), GrantAnswer)
listed = requests.sync(client=client)
if isinstance(listed, ErrorBody) or listed.value[0].id != opened.id:
    sys.exit(f"list: {listed}")
closed = sure("revoke", revoke.sync(opened.id, client=client), GrantAnswer)
if (opened.status, closed.status) != ("Initiated", "Revoked"):
    sys.exit(f"{opened.status}, then {closed.status}")
# The error path of a client that knows no code by name.
body = RequestBody.from_dict({"virtualMachines": [{"id": vm, "ports": [{"number": 23, "duration": "PT1H"}]}]})
refused = sure("a port that the policy does not name", request.sync(client=client, body=body), ErrorBody)
if refused.error.code != "PortNotInPolicy":
    sys.exit(f"refused with {refused}")
print("python: enable, request, list, revoke")
