package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/portal"
)

// settings are the names of every setting that the app reads, with what each is.
// A setting that begins with PORTCULLIS_ and is not here is an error, so that a
// misspelt one does not silently mean its default.
var settings = map[string]string{
	"FUNCTIONS_CUSTOMHANDLER_PORT":        "the port on 127.0.0.1 to listen on; the Functions host sets it",
	"PORTCULLIS_TENANT":                   "the Entra ID tenants whose people and apps may call, GUIDs separated by commas",
	"PORTCULLIS_AUDIENCE":                 "what a token's aud must be to be for this app, separated by commas: api://{app id} and the app id itself",
	"PORTCULLIS_AUTHORITY":                "one machine only: URL of a token issuer on a loopback address",
	"PORTCULLIS_SUBSCRIPTIONS":            "the subscriptions to manage, GUIDs separated by commas",
	"PORTCULLIS_CLOUD":                    "AzurePublic (default), AzureUSGovernment or AzureChina",
	"PORTCULLIS_TABLE_ENDPOINT":           "URL of the storage account's table service",
	"PORTCULLIS_IDENTITY_CLIENT_ID":       "client id of the user-assigned managed identity; empty for the system-assigned one",
	"PORTCULLIS_ARM_ENDPOINT":             "one machine only: URL of a Resource Manager on a loopback address",
	"PORTCULLIS_FORBID_ANY_SOURCE":        "on: no policy lets anybody ask for every address, not for all of IPv4 or IPv6 either; off (default)",
	"PORTCULLIS_WIDEST_SOURCE_IPV4":       "the widest IPv4 prefix that any policy lets anybody ask for, such as /24; empty for no bound. Set together with that of IPv6",
	"PORTCULLIS_WIDEST_SOURCE_IPV6":       "the widest IPv6 prefix that any policy lets anybody ask for, such as /64; empty for no bound. Set together with that of IPv4",
	"PORTCULLIS_REQUIRE_JUSTIFICATION":    "on: every request says why; off (default)",
	"PORTCULLIS_NETWORK_WRITE_LIMIT":      "on (default): no more than 1,000 network writes in five minutes and region, as Microsoft documents; off: as many as Resource Manager takes",
	"PORTCULLIS_SIGN_IN":                  "one machine only: names that the page offers to sign in as, separated by commas",
	"PORTCULLIS_SERVICEBUS_ADDRESS":       "one machine only: host:port of a Service Bus without TLS on a loopback address",
	"ServiceBus__fullyQualifiedNamespace": "host name of the Service Bus namespace; the revoke trigger reads it too",
	"ASPNETCORE_FORWARDEDHEADERS_ENABLED": "the platform's: true where the host itself takes the caller's address from X-Forwarded-For",
}

// config is every setting, read once.
type config struct {
	Port          int
	Tenants       []string // in lower case, sorted
	Audiences     []string
	Authority     string   // "" for the cloud's
	Subscriptions []string // in lower case, sorted
	Cloud         string
	TableEndpoint string
	BusNamespace  string
	ClientID      string
	ARMEndpoint   string            // "" for the cloud's
	BusAddress    string            // "" for the namespace's
	SignIn        []portal.Provider // none: as App Service authentication has it
	Floor         jit.Options       // what every request must meet, whatever the policies do
	Unlimited     bool              // the network provider's own limit is not kept
	// ForwardedHeaders is whether the platform has ASP.NET Core's own handling of
	// X-Forwarded-For on, which is so for the value true in any case and for no other.
	ForwardedHeaders bool
}

// readConfig reads the settings from an environment of NAME=value lines. It
// gives all that is wrong with them at once.
func readConfig(environ []string) (config, error) {
	env := map[string]string{}
	var errs []error
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
		// PORTCULLIS_LOCAL_ settings are those of the stand-ins, which start the app with their own environment.
		if _, known := settings[name]; strings.HasPrefix(name, "PORTCULLIS_") && !strings.HasPrefix(name, "PORTCULLIS_LOCAL_") && !known {
			errs = append(errs, fmt.Errorf("%s is not a setting", name))
		}
	}
	wrong := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s (%s): %s", name, settings[name], fmt.Sprintf(format, args...)))
	}

	c := config{Cloud: "AzurePublic", ClientID: env["PORTCULLIS_IDENTITY_CLIENT_ID"], ForwardedHeaders: strings.EqualFold(env["ASPNETCORE_FORWARDEDHEADERS_ENABLED"], "true")}
	var err error
	if c.Port, err = strconv.Atoi(env["FUNCTIONS_CUSTOMHANDLER_PORT"]); err != nil || c.Port < 1 || c.Port > 65535 {
		wrong("FUNCTIONS_CUSTOMHANDLER_PORT", "%q is not a port; this program is started by the Functions host", env["FUNCTIONS_CUSTOMHANDLER_PORT"])
	}
	guids := func(name string) []string {
		var out []string
		for id := range strings.SplitSeq(env[name], ",") {
			if id = strings.ToLower(strings.TrimSpace(id)); !jit.ValidGUID(id) {
				wrong(name, "%q is not a GUID", id)
				continue
			}
			out = append(out, id)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	c.Tenants, c.Subscriptions = guids("PORTCULLIS_TENANT"), guids("PORTCULLIS_SUBSCRIPTIONS")
	for audience := range strings.SplitSeq(env["PORTCULLIS_AUDIENCE"], ",") {
		if audience = strings.TrimSpace(audience); audience == "" || audience == "*" {
			wrong("PORTCULLIS_AUDIENCE", "%q is not an audience; without one every token of the tenant would do", audience)
			continue
		}
		c.Audiences = append(c.Audiences, audience)
	}
	if v := env["PORTCULLIS_CLOUD"]; v != "" {
		c.Cloud = v
	}
	if _, known := clouds()[c.Cloud]; !known {
		wrong("PORTCULLIS_CLOUD", "%q is none of %s", c.Cloud, strings.Join(slices.Sorted(maps.Keys(clouds())), ", "))
	}
	if c.TableEndpoint, err = endpoint(env["PORTCULLIS_TABLE_ENDPOINT"]); err != nil {
		wrong("PORTCULLIS_TABLE_ENDPOINT", "%v", err)
	}
	if c.BusNamespace = env["ServiceBus__fullyQualifiedNamespace"]; c.BusNamespace == "" || strings.ContainsAny(c.BusNamespace, "/: ") {
		wrong("ServiceBus__fullyQualifiedNamespace", "%q is not a host name", c.BusNamespace)
	}
	for name, to := range map[string]*string{"PORTCULLIS_ARM_ENDPOINT": &c.ARMEndpoint, "PORTCULLIS_AUTHORITY": &c.Authority} {
		v := env[name]
		if v == "" {
			continue
		}
		if *to, err = endpoint(v); err == nil && !strings.HasPrefix(v, "http://") {
			err = errors.New("only a loopback address can take the cloud's place")
		}
		if err != nil {
			wrong(name, "%v", err)
		}
	}
	if c.BusAddress = env["PORTCULLIS_SERVICEBUS_ADDRESS"]; c.BusAddress != "" && !loopback(c.BusAddress) {
		wrong("PORTCULLIS_SERVICEBUS_ADDRESS", "%q is not host:port on a loopback address", c.BusAddress)
	}
	if c.SignIn, err = signIn(env["PORTCULLIS_SIGN_IN"], c.Authority); err != nil {
		wrong("PORTCULLIS_SIGN_IN", "%v", err)
	}
	switch v := env["PORTCULLIS_NETWORK_WRITE_LIMIT"]; v {
	case "on", "":
	case "off":
		c.Unlimited = true
	default:
		wrong("PORTCULLIS_NETWORK_WRITE_LIMIT", "%q is neither on nor off", v)
	}
	for _, err := range readFloor(env, &c.Floor) {
		wrong(err.name, "%v", err.error)
	}
	for name, err := range misplaced(c) {
		wrong(name, "%v", err)
	}
	return c, errors.Join(errs...)
}

// wrongSetting is what is wrong with one setting.
type wrongSetting struct {
	name string
	error
}

// readFloor reads what every request must meet. What cannot be read is an error and never
// no demand: a security team that misspells it learns of it at the start.
func readFloor(env map[string]string, to *jit.Options) []wrongSetting {
	const v4, v6 = "PORTCULLIS_WIDEST_SOURCE_IPV4", "PORTCULLIS_WIDEST_SOURCE_IPV6"
	var errs []wrongSetting
	for name, flag := range map[string]*bool{"PORTCULLIS_FORBID_ANY_SOURCE": &to.ForbidAnySource, "PORTCULLIS_REQUIRE_JUSTIFICATION": &to.RequireJustification} {
		switch env[name] {
		case "on":
			*flag = true
		case "off", "":
		default:
			errs = append(errs, wrongSetting{name, fmt.Errorf("%q is neither on nor off", env[name])})
		}
	}
	for name, widest := range map[string]struct {
		to   *int
		most int
	}{v4: {&to.WidestIPv4, 32}, v6: {&to.WidestIPv6, 128}} {
		text := env[name]
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(text, "/"))
		if err != nil || n < 1 || n > widest.most || text != fmt.Sprintf("/%d", n) {
			errs = append(errs, wrongSetting{name, fmt.Errorf("%q is not the length of a prefix from /1 to /%d", text, widest.most)})
			continue
		}
		*widest.to = n
	}
	if len(errs) > 0 {
		return errs
	}
	if (env[v4] == "") != (env[v6] == "") {
		return []wrongSetting{{v4, fmt.Errorf("set %s too, or neither: what one family does not bound could be asked for in the other", v6)}}
	}
	return nil
}

// signIn gives how people sign in to the page where a token issuer of one
// machine vouches for names: by a name.
func signIn(names, authority string) ([]portal.Provider, error) {
	if names == "" {
		return nil, nil
	}
	if authority == "" {
		return nil, errors.New("names can be chosen only where PORTCULLIS_AUTHORITY is a token issuer of this machine")
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

// endpoint checks a URL: https, or http on a loopback address, since a token
// must not travel in the clear.
func endpoint(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", fmt.Errorf("%q is not the URL of a service", s)
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Host) {
		return strings.TrimSuffix(s, "/"), nil
	}
	return "", fmt.Errorf("%q is neither https nor http on a loopback address", s)
}

// loopback reports whether host:port names a loopback address by number.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
