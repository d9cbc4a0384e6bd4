package main

import (
	"io"
	"path/filepath"
	"text/template"
	"time"

	"portcullis/local/armsim"
)

// guideText is what a newcomer sees: addresses, and a command for each step.
var guideText = template.Must(template.New("guide").Parse(`
Portcullis is up after {{.Took}}. Everything listens on 127.0.0.1 only; Ctrl-C stops it.

  the page             {{.App}}/api/portal/    sign in as admin, requester, reader or approver
  the app              {{.App}}/api/health
  the same over https  {{.Secure}}/api/health    for clients that send no token over http; to sign in: {{.Authority}}
  the inbox            {{.ARM}}/local/inbox   what people are told: by mail, in Teams, in Slack, as events
  Resource Manager     {{.ARM}}/subscriptions/{{.Sub}}/resourceGroups/demo/providers/Microsoft.Network/networkSecurityGroups/web-nsg
  Table Storage        127.0.0.1:{{.Ports.Table}}
  Service Bus          127.0.0.1:{{.Ports.Bus}}

Have the clients of this shell trust the https ports (the certificate is for 127.0.0.1 alone; do not give it to the whole machine):

  export CURL_CA_BUNDLE={{.Trust}} SSL_CERT_FILE={{.Trust}} REQUESTS_CA_BUNDLE={{.Trust}} NODE_EXTRA_CA_CERTS={{.Trust}}

The main job, step by step:

  APP={{.App}}/api  ARM={{.ARM}}/subscriptions/{{.Sub}}/resourceGroups/demo/providers
  WEB=/subscriptions/{{.Sub}}/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web
  as() { curl -s -X POST "{{.ARM}}/local/token?as=$1" | sed 's/.*"access_token":"\([^"]*\)".*/Authorization: Bearer \1/'; }
  ADMIN=$(as admin) REQUESTER=$(as requester) READER=$(as reader) APPROVER=$(as approver)    # four people; each token is good for an hour
  rules() { curl -s $ARM/Microsoft.Network/networkSecurityGroups/web-nsg/securityRules |
    grep -oE '"(name|access|priority)":"?[^",}]*' | sed 's/.*://; s/"//' | paste - - - | sort -nk3; }

  # the admin closes the management ports of web, the requester asks for one of them for 20 seconds
  curl -s -H "$ADMIN" $APP/enable -d '{"virtualMachines":[{"id":"'$WEB'"}]}'
  ASK='{"virtualMachines":[{"id":"'$WEB'","ports":[{"number":22,"duration":"PT20S"}]}],"justification":"look at the logs"}'
  curl -s $APP/request -d "$ASK"                 # 401: who are you?
  curl -s -H "$READER" $APP/request -d "$ASK"    # 403: names the permission that a reader lacks
  curl -s -H "$REQUESTER" $APP/request -d "$ASK"

  rules                                          # the allow stands above the deny; after the end it is gone
  curl -s -H "$READER" $APP/requests             # who asked for what
  curl -s -H "$READER" $APP/activity             # every step
  curl -s -H "$ADMIN" -X POST -H 'Content-Length: 0' $APP/sweep      # the guarantee, run now
  curl -s -H "$ADMIN" $APP/disable -d '{"virtualMachines":[{"id":"'$WEB'"}]}'

Somebody else decides: the request waits, the approver approves what the digest stands for (here or on the page), and the inbox has what people were told

  curl -s -H "$ADMIN" $APP/enable -d '{"virtualMachines":[{"id":"'$WEB'","options":{"approvers":1}}]}'
  ANSWER=$(curl -s -H "$REQUESTER" $APP/request -d "${ASK/20S/10M}"); echo $ANSWER
  of() { echo $ANSWER | grep -oE "\"$1\":\"[^\"]*" | head -1 | cut -d'"' -f4; }
  curl -s -H "$APPROVER" $APP/requests/$(of id)/approve -d '{"digest":"'$(of digest)'"}'
  curl -s "{{.ARM}}/local/inbox?as=text&channel=email"
  ANSWER=$(curl -s -H "$ADMIN" $APP/lockdown -d '{"scope":{"virtualMachine":"'$WEB'"},"hold":true,"reason":"the disk is being copied"}'); echo $ANSWER
  curl -s -H "$ADMIN" $APP/lockdown/$(of id)/lift -d '{"reason":"the copy is done"}'

The command line client, here as the requester: ssh opens the port, runs ssh, and closes the port (before the first step above SSH is open to all; with an approver it waits for one)

  export{{range .Client}} '{{.}}'{{end}}
  dist/bin/portcullis ssh web --for 2m -- -F {{.SSH}}    # portcullis --help says what else it does; when the window ends, so does the session, which in Azure goes on

Behind an Azure Firewall, whose writes take {{.Firewall}} here (minutes in Azure): the answer may be 202 with an id to ask for again

  FW=/subscriptions/{{.Sub}}/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/behindfw
  curl -s -H "$ADMIN" $APP/enable -d '{"virtualMachines":[{"id":"'$FW'"}]}'
  curl -s -H "$REQUESTER" $APP/request -d '{"virtualMachines":[{"id":"'$FW'","ports":[{"number":22,"duration":"PT2M"}]}],"justification":"look"}'
  curl -s -H "$READER" $APP/requests             # Initiated once the firewall has it, with the host and port to dial
  curl -s "{{.ARM}}/local/walk?from=127.0.0.1&to=203.0.113.20:PORT"    # no machine is here to be dialled: how far a packet would come
  curl -s $ARM/Microsoft.Network/azureFirewalls/hub-fw                 # the NAT rules: ours is gone after the end

`))

func guide(w io.Writer, p ports, dir string, took time.Duration) {
	trust, config := whole(certificateFile(dir)), whole(filepath.Join(dir, "ssh", "config"))
	// Losing the terminal is no reason to stop.
	_ = guideText.Execute(w, map[string]any{"App": url(p.Host), "ARM": url(p.ARM), "Secure": secureURL(p.Secure), "Authority": secureURL(p.Authority), "Trust": trust, "SSH": config, "Client": clientSettings(p, "requester"),
		"Ports": p, "Sub": armsim.DemoSubscription, "Firewall": armsim.DemoFirewallWrite, "Took": took.Round(time.Millisecond)})
}

// whole gives a path that works from any folder.
func whole(path string) string {
	if out, err := filepath.Abs(path); err == nil {
		return out
	}
	return path
}
