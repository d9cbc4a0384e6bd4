package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/jit"
)

// settings are the names of every setting that the app reads, with what each is.
// A setting that begins with PORTCULLIS_ and is not here is an error, so that a
// misspelt one does not silently mean its default.
var settings = map[string]string{
	"FUNCTIONS_CUSTOMHANDLER_PORT":        "the port on 127.0.0.1 to listen on; the Functions host sets it",
	"PORTCULLIS_AUTH":                     "how callers are identified; only local so far, and only on one machine",
	"PORTCULLIS_SUBSCRIPTIONS":            "the subscriptions to manage, GUIDs separated by commas",
	"PORTCULLIS_CLOUD":                    "AzurePublic (default), AzureUSGovernment or AzureChina",
	"PORTCULLIS_TABLE_ENDPOINT":           "URL of the storage account's table service",
	"PORTCULLIS_IDENTITY_CLIENT_ID":       "client id of the user-assigned managed identity; empty for the system-assigned one",
	"PORTCULLIS_ARM_ENDPOINT":             "one machine only: URL of a Resource Manager on a loopback address",
	"PORTCULLIS_SERVICEBUS_ADDRESS":       "one machine only: host:port of a Service Bus without TLS on a loopback address",
	"ServiceBus__fullyQualifiedNamespace": "host name of the Service Bus namespace; the revoke trigger reads it too",
}

// clouds are those that Portcullis runs in.
var clouds = []string{"AzurePublic", "AzureUSGovernment", "AzureChina"}

// config is every setting, read once.
type config struct {
	Port          int
	Subscriptions []string // in lower case, sorted
	Cloud         string
	TableEndpoint string
	BusNamespace  string
	ClientID      string
	ARMEndpoint   string // "" for the cloud's
	BusAddress    string // "" for the namespace's
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

	c := config{Cloud: "AzurePublic", ClientID: env["PORTCULLIS_IDENTITY_CLIENT_ID"]}
	var err error
	if c.Port, err = strconv.Atoi(env["FUNCTIONS_CUSTOMHANDLER_PORT"]); err != nil || c.Port < 1 || c.Port > 65535 {
		wrong("FUNCTIONS_CUSTOMHANDLER_PORT", "%q is not a port; this program is started by the Functions host", env["FUNCTIONS_CUSTOMHANDLER_PORT"])
	}
	if env["PORTCULLIS_AUTH"] != "local" {
		wrong("PORTCULLIS_AUTH", "%q: callers cannot be identified yet, so the app serves on one machine only", env["PORTCULLIS_AUTH"])
	}
	for sub := range strings.SplitSeq(env["PORTCULLIS_SUBSCRIPTIONS"], ",") {
		if sub = strings.ToLower(strings.TrimSpace(sub)); !jit.ValidGUID(sub) {
			wrong("PORTCULLIS_SUBSCRIPTIONS", "%q is not a GUID", sub)
			continue
		}
		c.Subscriptions = append(c.Subscriptions, sub)
	}
	slices.Sort(c.Subscriptions)
	c.Subscriptions = slices.Compact(c.Subscriptions)
	if v := env["PORTCULLIS_CLOUD"]; v != "" {
		c.Cloud = v
	}
	if !slices.Contains(clouds, c.Cloud) {
		wrong("PORTCULLIS_CLOUD", "%q is none of %s", c.Cloud, strings.Join(clouds, ", "))
	}
	if c.TableEndpoint, err = endpoint(env["PORTCULLIS_TABLE_ENDPOINT"]); err != nil {
		wrong("PORTCULLIS_TABLE_ENDPOINT", "%v", err)
	}
	if c.BusNamespace = env["ServiceBus__fullyQualifiedNamespace"]; c.BusNamespace == "" || strings.ContainsAny(c.BusNamespace, "/: ") {
		wrong("ServiceBus__fullyQualifiedNamespace", "%q is not a host name", c.BusNamespace)
	}
	if v := env["PORTCULLIS_ARM_ENDPOINT"]; v != "" {
		if c.ARMEndpoint, err = endpoint(v); err == nil && !strings.HasPrefix(v, "http://") {
			err = errors.New("only a loopback address can take the cloud's place")
		}
		if err != nil {
			wrong("PORTCULLIS_ARM_ENDPOINT", "%v", err)
		}
	}
	if c.BusAddress = env["PORTCULLIS_SERVICEBUS_ADDRESS"]; c.BusAddress != "" && !loopback(c.BusAddress) {
		wrong("PORTCULLIS_SERVICEBUS_ADDRESS", "%q is not host:port on a loopback address", c.BusAddress)
	}
	return c, errors.Join(errs...)
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
