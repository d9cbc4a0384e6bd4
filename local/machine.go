package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"portcullis/local/armsim"
	"portcullis/local/gate"
	"portcullis/local/sshsim"
)

// The one machine of the demo that can be dialled, as the app knows it: by its name, and at its public address.
const machineName = "web"

var (
	machineID = "/subscriptions/" + armsim.DemoSubscription + "/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/" + machineName
	machineAt = netip.MustParseAddrPort("203.0.113.10:22")
)

// aliases are the names under which portcullis ssh has host keys looked up, for they stay while addresses change.
func aliases() []string {
	return []string{strings.Join([]string{machineName, "demo", armsim.DemoSubscription, "portcullis"}, ".")}
}

// serveMachine serves SSH on the machine's port for whom the security groups in effect let come to its public address.
func (a *azure) serveMachine(p ports, dir string) error {
	server, err := sshsim.New(filepath.Join(dir, "ssh"), machineName, aliases()...)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, server.Close)
	dial := a.machine
	if dial == nil {
		dial = func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go server.Serve(far) // ends with the connection
			return near, nil
		}
	}
	g := &gate.Gate{Listen: fmt.Sprintf("127.0.0.1:%d", p.Machine), Dial: dial, Admits: func(from netip.Addr) bool {
		path := a.arm.Walk(armsim.Packet{Source: from, Destination: machineAt, Protocol: "TCP"})
		return strings.EqualFold(path.Machine, machineID)
	}}
	if err := g.Open(); err != nil {
		return fmt.Errorf("%w (PORTCULLIS_LOCAL_PORT_BASE moves the ports)", err)
	}
	a.closers = append(a.closers, g.Close)
	return nil
}

// clientSettings gives what the environment of the command line client holds for one of the demo's people, as NAME=value: where the app is, what
// prints a token, and where the machine's address is here.
func clientSettings(p ports, persona string) []string {
	return []string{
		"PORTCULLIS_URL=" + url(p.Host),
		`PORTCULLIS_TOKEN_COMMAND=["curl","-sS","-X","POST","` + url(p.ARM) + "/local/token?as=" + persona + `"]`,
		fmt.Sprintf("PORTCULLIS_CONNECT_TO=%s:127.0.0.1:%d", machineAt, p.Machine),
	}
}
