package words

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

// ReadLength reads a duration as people write one: "1 h 30 min", "45m", "20 s", a
// number alone for minutes, or ISO 8601 such as PT3H.
func ReadLength(text string) (time.Duration, error) {
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

// Ago writes how long before now t was.
func Ago(now, t time.Time) string {
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

// When writes an instant for people, in UTC.
func When(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006, 15:04:05 UTC")
}

// services are what usually listens on a port.
var services = map[uint16]string{22: "SSH", 3389: "RDP", 5985: "WinRM", 5986: "WinRM (HTTPS)", 80: "HTTP", 443: "HTTPS", 1433: "SQL Server", 5432: "PostgreSQL", 3306: "MySQL", 5900: "VNC"}

// Service returns what usually listens on a port, "" where that is not known.
func Service(port uint16) string { return services[port] }

// Protocol writes a protocol for people.
func Protocol(p jit.Protocol) string {
	if p == jit.AnyProtocol {
		return "any protocol"
	}
	return string(p)
}

// Sources writes a set of sources for people.
func Sources(s jit.Sources) string {
	if s.IsAny() {
		return "any address"
	}
	return strings.Join(s.Strings(), ", ")
}

// ReadSources reads addresses and prefixes as people list them: by spaces, commas or lines.
func ReadSources(text string) (jit.Sources, error) {
	values := strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || c == ',' || c == ';' })
	if len(values) == 1 && strings.EqualFold(values[0], "any") {
		values[0] = "*"
	}
	return jit.ParseSources(values...)
}

// Kind writes what kind of thing guards a machine.
func Kind(id jit.ID) string {
	if strings.EqualFold(id.Type, jit.TypeNSG) {
		return "network security group"
	}
	return Firewall
}

// Firewall is what a firewall is called.
const Firewall = "firewall"

// Sentence makes a message of the core one for people: a capital and a full stop, times as the page writes them, and names instead of ids.
func Sentence(s string) string {
	if s == "" {
		return ""
	}
	s = plain(s)
	first, n := utf8.DecodeRuneInString(s)
	// A name stays as it is written: web is not Web.
	if word, _, _ := strings.Cut(s, " "); slices.Contains([]string{"a", "an", "the", "no", "name", "this", "there", "port", "protocol", "only", "somebody", "you", "choose", "too", "subscription", "say", "any", "write"}, word) {
		s = string(unicode.ToUpper(first)) + s[n:]
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// Counted writes a number of things.
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// Join writes a list.
func Join(list []string) string { return strings.Join(list, ", ") }

// Reason says why a window ended, "" for what is no reason of a window.
func Reason(r string) string { return reasons[r] }

var reasons = map[string]string{
	string(jit.Expired): "its time ran out", string(jit.UserRequested): "somebody ended it early", string(jit.NewerRequestInitiated): "replaced by a newer request",
	string(jit.OpeningFailed): "it could not be opened", string(jit.PolicyRemoved): "protection of the machine ended", string(jit.PolicyChanged): "the policy of the machine does not allow it any more", string(jit.MachineGone): "the machine is gone", string(jit.RightLost): "who asked for it has lost the right to",
	string(jit.RuleDisplaced): "other rules took the place of its rule", string(jit.RemovedByOthers): "others removed its rule", string(jit.NotCertain): "it was not certain that nobody had ended it",
	string(jit.LockedDown):      "it was locked down",
	string(jit.ApprovalExpired): "too few had approved it in time", string(jit.Denied): "it was denied",
	string(jit.DrillOnly): "it was a drill, and nothing was opened", string(jit.BreakGlassOpens): "asked for without approval, in an emergency",
}

// BreakGlass is the badge of a request that skipped the approval, "" for any other.
func BreakGlass(kind jit.BreakGlass) string {
	switch kind {
	case jit.NoBreakGlass:
		return ""
	case jit.BreakGlassDrill:
		return "Break-glass drill"
	}
	return "Break-glass"
}

// Unsupported says why a machine cannot be protected and what would change that.
func Unsupported(r inventory.MachineReason) (title, advice string) {
	switch r {
	case inventory.ReasonMissingNSG:
		return "No network security group", "Attach a network security group to its network interface or subnet; it then moves to Not configured."
	case inventory.ReasonClassic:
		return "Classic virtual machine", "Network security groups do not guard machines of the classic deployment model. Move it to Azure Resource Manager."
	case inventory.ReasonFirewallManager:
		return "Firewall run by Firewall Manager", "Rules of a firewall policy cannot be changed here. Attach a network security group to the machine."
	}
	return "Not supported", ""
}

// Finding is what a kind of finding means, for people.
type Finding struct {
	Title, Level, Advice string
}

// OfFinding tells of a kind of finding.
func OfFinding(k store.FindingKind) Finding {
	switch k {
	case store.FindingExposed:
		return Finding{"A protected port is open all the same", "bad", "Another rule allows it ahead of ours. Remove that rule, or configure the machine with “close protected ports” so that ours comes first."}
	case store.FindingReachable:
		return Finding{"A management port is open to the Internet or to strangers in Azure", "bad", "Its policy does not name the port. Add the port to the policy, or remove the rule that opens it."}
	case store.FindingShared:
		return Finding{"Two machines cannot be told apart", "bad", "They have the same address behind the same network security group. Give each network a group of its own; until then requests for them are refused."}
	case store.FindingBeyond:
		return Finding{"An open window lets in more than is demanded now", "bad", "The demand was tightened after it was asked for. Close the window, or leave it to its end."}
	case store.FindingUnguarded:
		return Finding{"A network interface is not guarded", "bad", "Attach a network security group to it or to its subnet; until then its ports cannot be closed."}
	case store.FindingOverdue:
		return Finding{"A port is past its end and not confirmed closed", "bad", "Every sweep tries again. Look whether a lock or a missing permission keeps the rule from being removed."}
	case store.FindingBroken:
		return Finding{"A network security group could not be read or written", "bad", "Look whether it is locked, and whether the app may change it."}
	case store.FindingLost:
		return Finding{"Rules of ours of which nothing is stored", "warn", "Enable the machines again, or delete the rules by hand."}
	case store.FindingRefused:
		return Finding{"A rule has no place", "warn", "The network security group is full or has no free priority. Remove rules that nobody needs."}
	case store.FindingCannotOpen:
		return Finding{"No request can be opened", "warn", "A rule of others, or other windows, leave no place in the network security group. Do what the message says, then enable the machine again."}
	case store.FindingBlocked:
		return Finding{"An open window does not let anybody in", "warn", "A rule that denies was put above it. Move that rule below, or remove it."}
	case store.FindingOpeningFailed:
		return Finding{"An opening was not confirmed and has been undone", "warn", "Ask for access again."}
	case store.FindingVMGone:
		return Finding{"A protected machine no longer exists", "warn", "End its protection, or leave it for when the machine comes back."}
	case store.FindingVMMoved:
		return Finding{"A protected machine seems to have moved to another resource group", "warn", "Enable it there, then end the protection here. Until then its ports stay closed."}
	case store.FindingRightLost:
		return Finding{"Somebody without the right has an open window", "warn", "Close the window, or give the role back."}
	case store.FindingEnded:
		return Finding{"An open window was closed early", "warn", "The message says why. Whoever needs it asks again."}
	case store.FindingUnchecked:
		return Finding{"Something that may matter could not be looked at", "warn", "Give the app the permission that its role in the deployment names."}
	case store.FindingReviewOwed:
		return Finding{"A break-glass has no review", "warn", "Somebody else has to write what happened. Until then the same person cannot do it again."}
	case store.FindingUndelivered:
		return Finding{"Messages have not reached a channel, or the log its receiver", "warn", "Look whether the receiver answers, and whether its address and permission are right. Messages are tried for a day, the log until it is taken."}
	case store.FindingLogBroken:
		return Finding{"The activity log is not what was streamed of it", "bad", "Somebody has put its table back, or changed it. Compare it with what the receiver holds."}
	case store.FindingRepaired:
		return Finding{"Rules were changed and have been put right", "note", "Somebody or something edits the rules of Portcullis. Nothing needs to be done."}
	}
	return Finding{string(k), "warn", ""}
}

// Rule tells of a rule in one line.
func Rule(r jit.Rule) string {
	var ports []string
	for _, p := range r.DestinationPorts {
		switch {
		case p == jit.AllPorts():
			ports = append(ports, "every port")
		case p.First == p.Last:
			ports = append(ports, strings.TrimSpace(fmt.Sprintf("%d %s", p.First, Service(p.First))))
		default:
			ports = append(ports, fmt.Sprintf("%d to %d", p.First, p.Last))
		}
	}
	verb := "Deny"
	if r.Access == jit.Allow {
		verb = "Allow"
	}
	if r.Translated.IsValid() {
		return fmt.Sprintf("Send port %s (%s) of %s, from %s, on to %s", strings.Join(ports, ", "), Protocol(r.Protocol), peers(r.Destination), peers(r.Source), r.Translated)
	}
	return fmt.Sprintf("%s %s (%s) from %s to %s", verb, strings.Join(ports, ", "), Protocol(r.Protocol), peers(r.Source), peers(r.Destination))
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

// Foreign tells of foreign rules that bear on protected ports, one line for each rule.
func Foreign(list []plan.Foreign) []string {
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

// ReadTime reads what a date field of a browser sends, taken as UTC.
func ReadTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, &jit.Error{Message: "this is not a time; write it like 2026-01-02 15:04"}
}

// Because gives why in words: the reason's, else the message.
func Because(a, b string) string {
	if a != "" {
		return strings.ToUpper(a[:1]) + a[1:] + "."
	}
	return b
}

// State gives where a window stands.
func State(g jit.Grant, w jit.Window, now time.Time) string {
	switch {
	case w.Status == jit.Revoked && (w.Reason == jit.OpeningFailed || g.Unreleased()):
		return "failed"
	case w.Status == jit.Revoked:
		return "closed"
	case w.Status == jit.AwaitingApproval && g.Waits(now):
		return "waiting"
	case w.Status == jit.Scheduled && g.Waits(now):
		return "scheduled"
	case w.Status == jit.Revoking || !g.Live(w, now):
		return "closing"
	case w.Status == jit.Initiating:
		return "opening"
	}
	return "open"
}

// WithoutCode drops the code that the log puts before a refusal's message.
func WithoutCode(message string) string {
	if code, rest, ok := strings.Cut(message, ": "); ok && !strings.Contains(code, " ") {
		return Sentence(rest)
	}
	return Sentence(message)
}

// Widest says how wide a range may be that is asked for; "" for no bound.
func Widest(o jit.Options) string {
	if o.WidestIPv4 == 0 && o.WidestIPv6 == 0 {
		return ""
	}
	return fmt.Sprintf("ranges no wider than /%d (IPv4) or /%d (IPv6)", o.WidestIPv4, o.WidestIPv6)
}

// Demanded says what options demand, for people.
func Demanded(o jit.Options) []string {
	var out []string
	if o.ForbidAnySource {
		out = append(out, "not from every address at once")
	}
	if w := Widest(o); w != "" {
		out = append(out, "from "+w)
	}
	if o.RequireJustification {
		out = append(out, "with a justification")
	}
	if o.Approvers > 0 {
		out = append(out, fmt.Sprintf("approved by %s", Counted(o.Approvers, "person", "people")))
	}
	return out
}
