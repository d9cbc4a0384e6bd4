package show

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"portcullis/core/jit"
)

// somebody stands in a command for the name that somebody has on the machine. The page's script puts in the one that was typed.
const somebody = "user"

// Dial is how to connect to one address.
type Dial struct {
	Host    string
	Port    uint16
	Command string // to be copied
	As      string // the command with {} for the name of who connects, "" where it has none
	CLI     string // the same with the Azure CLI, which signs in with Entra ID, "" for none
	RDP     string // link to a file for remote desktop clients
}

// dialing gives how to connect at an address and port to a port of a machine.
func dialing(grant string, vm jit.ID, at netip.AddrPort, number uint16) Dial {
	a, port := at.Addr(), at.Port()
	d := Dial{Host: a.String(), Port: port, Command: net.JoinHostPort(a.String(), strconv.Itoa(int(port)))}
	switch number {
	case 22:
		d.As = fmt.Sprintf("ssh {}@%s -p %d", a, port)
		d.Command = strings.Replace(d.As, "{}", somebody, 1)
		d.CLI = fmt.Sprintf("az ssh vm --ip %s --port %d", a, port)
	case 3389:
		d.RDP = Link("requests/"+grant+"/rdp", "vm", vm.String(), "host", a.String())
	case 5985:
		d.Command = fmt.Sprintf("Enter-PSSession -ComputerName %s -Port %d", a, port)
	case 5986:
		d.Command = fmt.Sprintf("Enter-PSSession -ComputerName %s -Port %d -UseSSL", a, port)
	}
	return d
}

// person is a name that may stand in a command and in a file: no line break, no blank, and no option.
var person = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,103}$`)

// File returns the file for remote desktop clients, with the name of who connects, "" for none.
func (d Dial) File(user string) (string, error) {
	text := fmt.Sprintf("full address:s:%s\r\nprompt for credentials:i:1\r\n", net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))))
	if user == "" {
		return text, nil
	}
	if !person.MatchString(user) {
		return "", &jit.Error{Code: "InvalidRequestContent", Message: "the user name has characters that none has: use letters, digits and . _ @ - \\"}
	}
	return text + "username:s:" + user + "\r\n", nil
}

// Ways counts the ways to its ports.
func (v Grant) Ways() int {
	n := 0
	for _, vm := range v.VMs {
		for _, p := range vm.Ports {
			n += len(p.Dial)
		}
	}
	return n
}

// Named reports whether a way to its ports takes a name.
func (v Grant) Named() bool {
	for _, vm := range v.VMs {
		for _, p := range vm.Ports {
			if len(p.Dial) > 0 && (p.Dial[0].As != "" || p.Dial[0].RDP != "") {
				return true
			}
		}
	}
	return false
}
