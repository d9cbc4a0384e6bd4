package portal

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sosodev/duration"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// unit is a number and its unit as people write them.
var unit = regexp.MustCompile(`^(\d{1,6}(?:\.\d{1,3})?)\s*(days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)\s*`)

// readLength reads a duration as people write one: "1 h 30 min", "45m", "20 s", a
// number alone for minutes, or ISO 8601 such as PT3H.
func readLength(text string) (time.Duration, error) {
	bad := &jit.Error{Code: jit.CodeInvalidDuration, Message: fmt.Sprintf("%.40q is not a length of time; write it like 45 min, 2 h or 1 h 30 min", text)}
	rest := strings.ToLower(strings.TrimSpace(text))
	if strings.HasPrefix(rest, "p") {
		d, err := duration.Parse(strings.ToUpper(rest))
		if err != nil || d.Years != 0 || d.Months != 0 || d.Weeks > 1 || d.Days > 10 || d.Hours > 240 || d.Minutes > 14400 || d.Seconds > 864000 {
			return 0, bad
		}
		return positive(d.ToTimeDuration(), bad)
	}
	if n, err := strconv.Atoi(rest); err == nil && n <= 14400 {
		return positive(time.Duration(n)*time.Minute, bad)
	}
	var total float64
	for rest != "" {
		m := unit.FindStringSubmatch(rest)
		if m == nil {
			return 0, bad
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, bad
		}
		total += n * map[byte]float64{'d': 86400, 'h': 3600, 'm': 60, 's': 1}[m[2][0]]
		rest = rest[len(m[0]):]
	}
	if total > 864000 {
		return 0, bad
	}
	return positive(time.Duration(total*float64(time.Second)), bad)
}

func positive(d time.Duration, bad *jit.Error) (time.Duration, error) {
	if d <= 0 {
		return 0, bad
	}
	return d, nil
}

// ago writes how long before now t was.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/(24*time.Hour))
}

// when writes an instant for people, in UTC.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006, 15:04:05 UTC")
}

// services are what usually listens on a port.
var services = map[uint16]string{22: "SSH", 3389: "RDP", 5985: "WinRM", 5986: "WinRM (HTTPS)", 80: "HTTP", 443: "HTTPS", 1433: "SQL Server", 5432: "PostgreSQL", 3306: "MySQL", 5900: "VNC"}

func service(port uint16) string { return services[port] }

func protocol(p jit.Protocol) string {
	if p == jit.AnyProtocol {
		return "any protocol"
	}
	return string(p)
}

// sources writes a set of sources for people.
func sources(s jit.Sources) string {
	if s.IsAny() {
		return "any address"
	}
	return strings.Join(s.Strings(), ", ")
}

// readSources reads addresses and prefixes as people list them: by spaces, commas or lines.
func readSources(text string) (jit.Sources, error) {
	values := strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || c == ',' || c == ';' })
	if len(values) == 1 && strings.EqualFold(values[0], "any") {
		values[0] = "*"
	}
	return jit.ParseSources(values...)
}

// kind writes what kind of thing guards a machine.
func kind(id jit.ID) string {
	if strings.EqualFold(id.Type, jit.TypeNSG) {
		return "network security group"
	}
	return firewall
}

// firewall is what a firewall is called.
const firewall = "firewall"

// sentence makes a message of the core one: a capital and a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	first, n := utf8.DecodeRuneInString(s)
	// A name stays as it is written: web is not Web.
	if word, _, _ := strings.Cut(s, " "); slices.Contains([]string{"a", "an", "the", "no", "name", "this", "there", "port", "protocol", "only", "somebody", "you", "choose", "too", "subscription", "say", "any"}, word) {
		s = string(unicode.ToUpper(first)) + s[n:]
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func join(list []string) string { return strings.Join(list, ", ") }

// reasons say why a window ended, or a machine cannot be protected.
var reasons = map[string]string{
	string(jit.Expired): "its time ran out", string(jit.UserRequested): "closed early", string(jit.NewerRequestInitiated): "replaced by a newer request",
	string(jit.OpeningFailed): "it could not be opened", string(jit.PolicyRemoved): "protection of the machine ended", string(jit.MachineGone): "the machine is gone",
}

// unsupported says why a machine cannot be protected and what would change that.
func unsupported(r inventory.MachineReason) (title, advice string) {
	switch r {
	case inventory.ReasonMissingNSG:
		return "No network security group", "Attach a network security group to its network interface or subnet; it then moves to Not configured."
	case inventory.ReasonClassic:
		return "Classic virtual machine", "Network security groups do not guard machines of the classic deployment model. Move it to Azure Resource Manager."
	case inventory.ReasonFirewallManager:
		return "Firewall run by Firewall Manager", "Rules of a firewall policy cannot be changed here. Attach a network security group to the machine."
	case inventory.ReasonDisabledByPolicy:
		return "Disabled by policy", "An Azure Policy excludes this machine."
	}
	return "Not supported", ""
}

// findingWords is what a kind of finding means, for people.
type findingWords struct {
	Title, Level, Advice string
}

func words(k store.FindingKind) findingWords {
	switch k {
	case store.FindingExposed:
		return findingWords{"A protected port is open all the same", "bad", "Another rule allows it ahead of ours. Remove that rule, or configure the machine with “close protected ports” so that ours comes first."}
	case store.FindingReachable:
		return findingWords{"A management port is open to the Internet", "bad", "Its policy does not name the port. Add the port to the policy, or remove the rule that opens it."}
	case store.FindingUnguarded:
		return findingWords{"A network interface is not guarded", "bad", "Attach a network security group to it or to its subnet; until then its ports cannot be closed."}
	case store.FindingOverdue:
		return findingWords{"A port is past its end and not confirmed closed", "bad", "Every sweep tries again. Look whether a lock or a missing permission keeps the rule from being removed."}
	case store.FindingBroken:
		return findingWords{"A network security group could not be read or written", "bad", "Look whether it is locked, and whether the app may change it."}
	case store.FindingLost:
		return findingWords{"Rules of ours of which nothing is stored", "warn", "Enable the machines again, or delete the rules by hand."}
	case store.FindingRefused:
		return findingWords{"A rule has no place", "warn", "The network security group is full or has no free priority. Remove rules that nobody needs."}
	case store.FindingBlocked:
		return findingWords{"An open window does not let anybody in", "warn", "A rule that denies was put above it. Move that rule below, or remove it."}
	case store.FindingOpeningFailed:
		return findingWords{"An opening was not confirmed and has been undone", "warn", "Ask for access again."}
	case store.FindingVMGone:
		return findingWords{"A protected machine no longer exists", "warn", "End its protection, or leave it for when the machine comes back."}
	case store.FindingUnchecked:
		return findingWords{"Something that may matter could not be looked at", "warn", "Give the app the permission that its role in the deployment names."}
	case store.FindingRepaired:
		return findingWords{"Rules were changed and have been put right", "note", "Somebody or something edits the rules of Portcullis. Nothing needs to be done."}
	}
	return findingWords{string(k), "warn", ""}
}

// ruleWords tells of a rule in one line.
func ruleWords(r jit.Rule) string {
	var ports []string
	for _, p := range r.DestinationPorts {
		switch {
		case p == jit.AllPorts():
			ports = append(ports, "every port")
		case p.First == p.Last:
			ports = append(ports, strings.TrimSpace(fmt.Sprintf("%d %s", p.First, service(p.First))))
		default:
			ports = append(ports, fmt.Sprintf("%d to %d", p.First, p.Last))
		}
	}
	verb := "Deny"
	if r.Access == jit.Allow {
		verb = "Allow"
	}
	if r.Translated.IsValid() {
		return fmt.Sprintf("Send port %s (%s) of %s, from %s, on to %s", strings.Join(ports, ", "), protocol(r.Protocol), peers(r.Destination), peers(r.Source), r.Translated)
	}
	return fmt.Sprintf("%s %s (%s) from %s to %s", verb, strings.Join(ports, ", "), protocol(r.Protocol), peers(r.Source), peers(r.Destination))
}

func peers(p jit.Peers) string {
	if p.Any {
		return "any address"
	}
	var out []string
	for _, prefix := range p.Prefixes {
		out = append(out, jit.PrefixString(prefix))
	}
	out = slices.Concat(out, p.Tags, p.Groups)
	if len(out) > 6 {
		return fmt.Sprintf("%s and %d more", strings.Join(out[:5], ", "), len(out)-5)
	}
	return strings.Join(out, ", ")
}

// foreignWords tells of foreign rules that bear on protected ports, one line for each rule.
func foreignWords(list []plan.Foreign) []string {
	var out []string
	for _, f := range list {
		line := fmt.Sprintf("%s (priority %d) for port %d of %s", f.Rule.Name, f.Rule.Priority, f.Port, f.VM.Name)
		if f.Rule.Translated.IsValid() {
			line = fmt.Sprintf("%s (of a firewall, while a window is open) for port %d of %s", f.Rule.Name, f.Port, f.VM.Name)
		}
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}
