package main

import (
	"io"
	"text/template"
	"time"

	"portcullis/local/armsim"
)

// guideText is what a newcomer sees: where things are, and a line to try each step with.
var guideText = template.Must(template.New("guide").Parse(`
Portcullis is up after {{.Took}}. Everything listens on 127.0.0.1 only; Ctrl-C stops it.

  the app              {{.App}}/api/health
  Resource Manager     {{.ARM}}/subscriptions/{{.Sub}}/resourceGroups/demo/providers/Microsoft.Network/networkSecurityGroups/web-nsg
  Table Storage        127.0.0.1:{{.Ports.Table}}
  Service Bus          127.0.0.1:{{.Ports.Bus}}

The main job, step by step:

  APP={{.App}}/api  ARM={{.ARM}}/subscriptions/{{.Sub}}/resourceGroups/demo/providers
  WEB=/subscriptions/{{.Sub}}/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web
  rules() { curl -s $ARM/Microsoft.Network/networkSecurityGroups/web-nsg/securityRules | python3 -m json.tool; }

  # close the management ports of web, then ask for one of them for 20 seconds
  curl -s $APP/enable  -d '{"virtualMachines":[{"id":"'$WEB'"}]}'
  curl -s $APP/request -d '{"virtualMachines":[{"id":"'$WEB'","ports":[{"number":22,"duration":"PT20S"}]}],"justification":"look at the logs"}'

  rules                            # the allow stands above the deny; after the end it is gone
  curl -s $APP/requests            # who asked for what
  curl -s $APP/activity            # every step
  curl -s -X POST -H 'Content-Length: 0' $APP/sweep      # the guarantee, run now
  curl -s $APP/disable -d '{"virtualMachines":[{"id":"'$WEB'"}]}'

`))

func guide(w io.Writer, p ports, took time.Duration) {
	// A terminal that is gone is no reason to stop.
	_ = guideText.Execute(w, map[string]any{"App": url(p.Host), "ARM": url(p.ARM), "Ports": p, "Sub": armsim.DemoSubscription, "Took": took.Round(time.Millisecond)})
}
