package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/plan"
	"portcullis/handlers/portal"
	"portcullis/infra/loopback"
)

// use says who sets a setting.
type use int

// The uses. Every setting has one.
const (
	deployed   use = iota + 1 // the templates of infra/deploy set it
	optional                  // whoever deploys may set it
	ofPlatform                // Azure Functions sets it, or defines what it means
	oneMachine                // only for stand-ins on a loopback address
)

// setting is one setting of the app. Its name appears only here.
type setting struct {
	name string
	use  use
	doc  string
	// read stores the value, "" if it is not set, in c. An error stops the start.
	read func(c *config, value string) error
}

// settings returns every setting that the app reads.
func settings() []setting {
	return append([]setting{
		{"FUNCTIONS_CUSTOMHANDLER_PORT", ofPlatform, "the port on 127.0.0.1 to listen on; the Functions host sets it", readPort},
		{"ASPNETCORE_FORWARDEDHEADERS_ENABLED", deployed, "true: the Functions host passes on the caller's address that its front end names. Otherwise it is not known, and a request has to name its sources",
			func(c *config, v string) error { c.ForwardedHeaders = strings.EqualFold(v, "true"); return nil }},
		{"WEBSITE_OWNER_NAME", ofPlatform, "begins with the subscription that the app is in; the doctor looks at a resource provider there",
			func(c *config, v string) error { c.Home = homeOf(v); return nil }},
		{"PORTCULLIS_TENANT", deployed, "the Entra ID tenants whose people and apps may call, GUIDs separated by commas",
			func(c *config, v string) (err error) { c.Tenants, err = guids(v); return err }},
		{"PORTCULLIS_AUDIENCE", deployed, "what a token's aud must be to be for this app, separated by commas: api://{app id} and the app id itself", readAudiences},
		{"PORTCULLIS_REQUIRED_SCOPE", deployed, "scopes (of people's access tokens) and app roles (of applications') of this app, one of which an access token must hold, separated by commas; empty for none", readScopes},
		{"PORTCULLIS_SUBSCRIPTIONS", deployed, "the subscriptions to manage, GUIDs separated by commas",
			func(c *config, v string) (err error) { c.Subscriptions, err = guids(v); return err }},
		{"PORTCULLIS_CLOUD", deployed, "AzurePublic (default), AzureUSGovernment or AzureChina", readCloud},
		{"PORTCULLIS_TABLE_ENDPOINT", deployed, "URL of the storage account's table service",
			func(c *config, v string) (err error) { c.TableEndpoint, err = endpoint(v); return err }},
		{"ServiceBus__fullyQualifiedNamespace", deployed, "host name of the Service Bus namespace; the revoke trigger reads it too", readNamespace},
		{"PORTCULLIS_IDENTITY_CLIENT_ID", deployed, "client id of the user-assigned managed identity; empty for the system-assigned one",
			func(c *config, v string) error { c.ClientID = v; return nil }},
		{"PORTCULLIS_FORBID_ANY_SOURCE", deployed, "on: no policy lets anybody ask for every address, nor in pieces for a large share of the public ones; off (default)",
			func(c *config, v string) error { return flag(&c.Floor.ForbidAnySource, v, false) }},
		{"PORTCULLIS_WIDEST_SOURCE_IPV4", deployed, "the widest IPv4 prefix that any policy lets anybody ask for, such as /24, and four times as many addresses together; empty for no bound. Set together with that of IPv6",
			func(c *config, v string) error { return prefixLength(&c.Floor.WidestIPv4, v, 32) }},
		{"PORTCULLIS_WIDEST_SOURCE_IPV6", deployed, "the widest IPv6 prefix that any policy lets anybody ask for, such as /64, and four times as many addresses together; empty for no bound. Set together with that of IPv4",
			func(c *config, v string) error { return prefixLength(&c.Floor.WidestIPv6, v, 128) }},
		{"PORTCULLIS_REQUIRE_JUSTIFICATION", deployed, "on: every request says why; off (default)",
			func(c *config, v string) error { return flag(&c.Floor.RequireJustification, v, false) }},
		{"PORTCULLIS_REQUESTOR_WINDOWS", deployed, "how many open windows one requestor may have at one security group or firewall, which others share; 250 where it is empty, 0 for no bound",
			func(c *config, v string) error { return count(&c.Quota.Windows, v, 250) }},
		{"PORTCULLIS_REQUESTOR_ADDRESSES", deployed, "how many source addresses and ranges these may name together, of the 4,000 that a security group takes; 1000 where it is empty, 0 for no bound",
			func(c *config, v string) error { return count(&c.Quota.Addresses, v, 1000) }},
		{"PORTCULLIS_WINDOW_PRIORITIES", deployed, "the priorities that the rules of windows take in security groups, such as 100-199, so that others can plan theirs; 100-4096 where it is empty. What stands elsewhere stays", readBand},
		{"PORTCULLIS_KEPT_PRIORITIES", deployed, "how many of these our denies leave to windows, twice as many where machines have addresses of both families; a machine for which they cannot is refused when it is enabled; 1 where it is empty, 100 at most",
			readKept},
		{"PORTCULLIS_NETWORK_WRITE_LIMIT", deployed, "on (default): no more than 1,000 network writes in five minutes and region, as Microsoft documents; off: as many as Resource Manager takes", readWriteLimit},
		{"PORTCULLIS_RIGHT_LOST", deployed, "what a sweep does with an open window whose owner could not ask for it any more: report (default) or close", readRightLost},
		{"PORTCULLIS_REMOVED_WINDOWS", deployed, "what becomes of an open window whose rule others have deleted: once (default) puts it back the first time, where it is certain that nobody has ended it; never closes it", readRemoved},
		{criticalSettings, optional, "names of settings, separated by commas, without which the app must not start: each has to be one that it knows, and set",
			func(c *config, v string) error { c.Critical = names(v); return nil }},
		{"PORTCULLIS_AUTHORITY", oneMachine, "URL of a token issuer on a loopback address",
			func(c *config, v string) (err error) { c.Authority, err = standIn(v); return err }},
		{"PORTCULLIS_ARM_ENDPOINT", oneMachine, "URL of a Resource Manager on a loopback address",
			func(c *config, v string) (err error) { c.ARMEndpoint, err = standIn(v); return err }},
		{"PORTCULLIS_SERVICEBUS_ADDRESS", oneMachine, "host:port of a Service Bus without TLS on a loopback address", readBusAddress},
		{"PORTCULLIS_SIGN_IN", oneMachine, "names that the page offers to sign in as, separated by commas",
			func(c *config, v string) (err error) { c.SignIn, err = signIn(v); return err }},
	}, slices.Concat(approvalSettings(), tellSettings(), streamSettings(), glassSettings())...)
}

func readWriteLimit(c *config, v string) error {
	kept := true
	err := flag(&kept, v, true)
	c.Unlimited = !kept
	return err
}

// readBand parses the priorities of windows.
func readBand(c *config, v string) error {
	if v == "" {
		return nil
	}
	from, to, _ := strings.Cut(v, "-")
	first, err := strconv.Atoi(from)
	last, bad := strconv.Atoi(to)
	if err != nil || bad != nil || v != fmt.Sprintf("%d-%d", first, last) || first < plan.MinPriority || last > plan.MaxPriority || first > last {
		return fmt.Errorf("%q is not a range of priorities such as 100-199, within %d-%d", v, plan.MinPriority, plan.MaxPriority)
	}
	c.Room.First, c.Room.Last = first, last
	return nil
}

func readKept(c *config, v string) error {
	if err := count(&c.Room.Kept, v, 1); err != nil {
		return err
	}
	if c.Room.Kept < 1 || c.Room.Kept > 100 {
		return fmt.Errorf("%q is not a number from 1 to 100", v)
	}
	return nil
}

func readRightLost(c *config, v string) error {
	if v != "" && v != "report" && v != "close" {
		return fmt.Errorf("%q is neither report nor close", v)
	}
	c.CloseLost = v == "close"
	return nil
}

func readRemoved(c *config, v string) error {
	if v != "" && v != "once" && v != "never" {
		return fmt.Errorf("%q is neither once nor never", v)
	}
	c.LeaveRemoved = v == "never"
	return nil
}

// criticalSettings is the setting that lists settings without which the app must not start; see
// docs/decisions/015.
const criticalSettings = "PORTCULLIS_CRITICAL_SETTINGS"

// config is every setting, read once.
type config struct {
	Port          int
	Tenants       []string // in lower case, sorted
	Audiences     []string
	Permissions   []string // scopes and app roles, one of which an access token must have; none: any token is accepted
	Authority     string   // "" for the cloud's
	Subscriptions []string // in lower case, sorted
	Cloud         string
	TableEndpoint string
	BusNamespace  string
	ClientID      string
	ARMEndpoint   string            // "" for the cloud's
	BusAddress    string            // "" for the namespace's
	SignIn        []portal.Provider // none: as in App Service authentication
	Floor         jit.Options       // what every request must meet, regardless of the policies
	Wait          time.Duration     // how long a request waits for approval
	Ahead         time.Duration     // how far ahead a request may begin
	Quota         limit.Quota       // what one requestor may have on one target
	Room          plan.Room         // the priorities of windows in security groups
	BreakGlass    time.Duration     // how long a window that nobody approved of lasts at most
	CloseLost     bool              // the sweep closes windows whose owner has lost the right to request them
	LeaveRemoved  bool              // an allow that others have deleted is not put back
	Unlimited     bool              // the network provider's own limit is not enforced
	// ForwardedHeaders is whether the platform has ASP.NET Core's own handling of X-Forwarded-For on: only for the
	// value true, in any case.
	ForwardedHeaders bool
	Home             string // the app's own subscription, "" if the platform does not say
	// Unknown is the names, sorted, of settings that begin with PORTCULLIS_ and that this version does not know: those
	// of a newer version, or misspelt ones. They have no effect.
	Unknown  []string
	Critical []string // names of settings that must be known and set
	Channels []string // through which people are told, sorted
	Tell     map[string]telling
	Stream   streaming
	Page     string // URL of the page; "" if the platform does not say
}

// readConfig reads the settings from an environment of NAME=value lines. It reports all errors at once: invalid
// values, and critical settings that are unknown or not set. An unknown setting is not an error.
func readConfig(environ []string) (config, error) {
	env := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	var c config
	var errs []error
	docs := map[string]string{}
	wrong := func(name string, err error) { errs = append(errs, fmt.Errorf("%s (%s): %w", name, docs[name], err)) }
	for _, s := range settings() {
		docs[s.name] = s.doc
		if err := s.read(&c, env[s.name]); err != nil {
			wrong(s.name, err)
		}
	}
	for name := range env {
		// PORTCULLIS_LOCAL_ settings belong to the stand-ins, which start the app with their own environment.
		if docs[name] == "" && strings.HasPrefix(name, "PORTCULLIS_") && !strings.HasPrefix(name, "PORTCULLIS_LOCAL_") {
			c.Unknown = append(c.Unknown, name)
		}
	}
	slices.Sort(c.Unknown)
	for _, name := range c.Critical {
		if docs[name] == "" {
			wrong(criticalSettings, fmt.Errorf("this version does not know %q", name))
		} else if env[name] == "" {
			wrong(criticalSettings, fmt.Errorf("%s is not set", name))
		}
	}
	if (env["PORTCULLIS_WIDEST_SOURCE_IPV4"] == "") != (env["PORTCULLIS_WIDEST_SOURCE_IPV6"] == "") {
		wrong("PORTCULLIS_WIDEST_SOURCE_IPV4", errors.New("set PORTCULLIS_WIDEST_SOURCE_IPV6 too, or neither: what one family does not bound could be asked for in the other"))
	}
	if r := c.Room; r.First != 0 && 2*r.Kept > r.Last-r.First+1 {
		wrong("PORTCULLIS_KEPT_PRIORITIES", fmt.Errorf("%d for each family do not fit into the %d of PORTCULLIS_WINDOW_PRIORITIES", r.Kept, r.Last-r.First+1))
	}
	if c.SignIn != nil && c.Authority == "" {
		wrong("PORTCULLIS_SIGN_IN", errors.New("names can be chosen only where PORTCULLIS_AUTHORITY is a token issuer of this machine"))
	}
	if err := untold(c); err != nil {
		wrong(tellSetting, err)
	}
	for name, err := range misplaced(c) {
		wrong(name, err)
	}
	return c, errors.Join(errs...)
}

func readPort(c *config, value string) (err error) {
	if c.Port, err = strconv.Atoi(value); err != nil || c.Port < 1 || c.Port > 65535 {
		return fmt.Errorf("%q is not a port; this program is started by the Functions host", value)
	}
	return nil
}

// names splits a list that may be empty.
func names(value string) []string {
	var out []string
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// guids parses a list that must not be empty, into lower case and sorted.
func guids(value string) ([]string, error) {
	var out []string
	var errs []error
	for id := range strings.SplitSeq(value, ",") {
		if id = strings.ToLower(strings.TrimSpace(id)); !jit.ValidGUID(id) {
			errs = append(errs, fmt.Errorf("%q is not a GUID", id))
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

// homeOf returns the subscription in the name of an app's webspace, subscription+group-regionwebspace, as App
// Service sets it; "" if there is none. It grants no permission.
func homeOf(webspace string) string {
	if id, _, ok := strings.Cut(webspace, "+"); ok && jit.ValidGUID(id) {
		return strings.ToLower(id)
	}
	return ""
}

func readAudiences(c *config, value string) error {
	for audience := range strings.SplitSeq(value, ",") {
		if audience = strings.TrimSpace(audience); audience == "" || audience == "*" {
			return fmt.Errorf("%q is not an audience; without one every token of the tenant would do", audience)
		}
		c.Audiences = append(c.Audiences, audience)
	}
	return nil
}

func readScopes(c *config, value string) error {
	if value == "" {
		return nil
	}
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name == "" || strings.ContainsAny(name, " \t/") {
			return fmt.Errorf("%q is not the name of a scope or an app role, such as user_impersonation", name)
		}
		c.Permissions = append(c.Permissions, name)
	}
	return nil
}

func readCloud(c *config, value string) error {
	if c.Cloud = value; value == "" {
		c.Cloud = "AzurePublic"
	}
	if _, known := clouds()[c.Cloud]; !known {
		return fmt.Errorf("%q is none of %s", c.Cloud, strings.Join(slices.Sorted(maps.Keys(clouds())), ", "))
	}
	return nil
}

func readNamespace(c *config, value string) error {
	if c.BusNamespace = value; value == "" || strings.ContainsAny(value, "/: ") {
		return fmt.Errorf("%q is not a host name", value)
	}
	return nil
}

func readBusAddress(c *config, value string) error {
	if c.BusAddress = value; value != "" && !onLoopback(value) {
		return fmt.Errorf("%q is not host:port on a loopback address", value)
	}
	return nil
}

// standIn parses the URL of a service's stand-in on this machine, or "".
func standIn(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	at, err := endpoint(value)
	if err == nil && !strings.HasPrefix(value, "http://") {
		err = errors.New("only a loopback address can take the cloud's place")
	}
	return at, err
}

// signIn returns how people sign in to the page when a local token issuer accepts names: by name.
func signIn(names string) ([]portal.Provider, error) {
	if names == "" {
		return nil, nil
	}
	var out []portal.Provider
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return nil, errors.New("a name is empty")
		}
		out = append(out, portal.Provider{Name: "Sign in as " + name, Path: "/.auth/login/local?as=" + url.QueryEscape(name)})
	}
	return out, nil
}

// endpoint checks a URL: https, or http on a loopback address, since a token must not be sent in clear.
func endpoint(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", fmt.Errorf("%q is not the URL of a service", s)
	}
	if u.Scheme == "https" || u.Scheme == "http" && onLoopback(u.Host) {
		return strings.TrimSuffix(s, "/"), nil
	}
	return "", fmt.Errorf("%q is neither https nor http on a loopback address", s)
}

// onLoopback reports whether host:port names a loopback address by number.
func onLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	return err == nil && loopback.Number(host)
}
