package hostsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// settings is what the stand-in takes from host.json, with the host's defaults
// filled in.
type settings struct {
	executable            string
	initializationTimeout time.Duration
	functionTimeout       time.Duration // 0: none
	routePrefix           string
	maxConcurrentCalls    int
	maxAutoLockRenewal    time.Duration
	hasBundle             bool
}

// hostFile is host.json, as far as it concerns the stand-in.
type hostFile struct {
	Version         string  `json:"version"`
	FunctionTimeout *string `json:"functionTimeout"`
	CustomHandler   struct {
		Description struct {
			DefaultExecutablePath string   `json:"defaultExecutablePath"`
			Arguments             []string `json:"arguments"`
			WorkingDirectory      string   `json:"workingDirectory"`
		} `json:"description"`
		EnableForwarding      bool    `json:"enableForwardingHttpRequest"`
		EnableProxying        bool    `json:"enableProxyingHttpRequest"`
		InitializationTimeout *string `json:"initializationTimeout"`
	} `json:"customHandler"`
	ExtensionBundle *struct {
		ID string `json:"id"`
	} `json:"extensionBundle"`
	Extensions struct {
		HTTP struct {
			RoutePrefix *string `json:"routePrefix"`
		} `json:"http"`
		ServiceBus struct {
			AutoComplete       *bool   `json:"autoCompleteMessages"`
			MaxConcurrentCalls *int    `json:"maxConcurrentCalls"`
			MaxAutoLockRenewal *string `json:"maxAutoLockRenewalDuration"`
		} `json:"serviceBus"`
	} `json:"extensions"`
}

func readSettings(root string) (settings, error) {
	text, err := os.ReadFile(filepath.Join(root, "host.json"))
	if err != nil {
		return settings{}, err
	}
	var file hostFile
	if err := json.Unmarshal(text, &file); err != nil {
		return settings{}, fmt.Errorf("parse host.json: %w", err)
	}
	s, err := file.settings()
	if err != nil {
		return settings{}, fmt.Errorf("host.json: %w", err)
	}
	return s, nil
}

func (f *hostFile) settings() (settings, error) {
	ch := &f.CustomHandler
	switch {
	case f.Version != "2.0":
		return settings{}, fmt.Errorf("version %q, want 2.0", f.Version)
	case ch.Description.DefaultExecutablePath == "":
		return settings{}, errors.New("customHandler.description.defaultExecutablePath cannot be empty")
	case len(ch.Description.Arguments) > 0 || ch.Description.WorkingDirectory != "":
		return settings{}, errors.New("customHandler.description has arguments or a workingDirectory, which are not simulated")
	case ch.EnableForwarding:
		return settings{}, errors.New("customHandler.enableForwardingHttpRequest is not simulated")
	case !ch.EnableProxying:
		return settings{}, errors.New("customHandler.enableProxyingHttpRequest is off: HTTP functions in the envelope are not simulated")
	}
	s := settings{
		executable:  ch.Description.DefaultExecutablePath,
		routePrefix: "api",
		hasBundle:   f.ExtensionBundle != nil && f.ExtensionBundle.ID != "",
		// 16 for each core, from the Service Bus extension's defaults.
		maxConcurrentCalls: 16 * runtime.NumCPU(),
	}
	if p := f.Extensions.HTTP.RoutePrefix; p != nil {
		s.routePrefix = strings.Trim(*p, "/")
	}
	bus := &f.Extensions.ServiceBus
	if bus.AutoComplete != nil && !*bus.AutoComplete {
		return settings{}, errors.New("extensions.serviceBus.autoCompleteMessages is off: a custom handler cannot settle a message")
	}
	if n := bus.MaxConcurrentCalls; n != nil {
		if *n < 1 {
			return settings{}, fmt.Errorf("extensions.serviceBus.maxConcurrentCalls %d is below 1", *n)
		}
		s.maxConcurrentCalls = *n
	}
	for _, d := range []struct {
		name  string
		text  *string
		value *time.Duration
		or    time.Duration
	}{
		// 30 minutes is the default of every plan but Consumption.
		{"functionTimeout", f.FunctionTimeout, &s.functionTimeout, 30 * time.Minute},
		{"customHandler.initializationTimeout", ch.InitializationTimeout, &s.initializationTimeout, 30 * time.Second},
		{"extensions.serviceBus.maxAutoLockRenewalDuration", bus.MaxAutoLockRenewal, &s.maxAutoLockRenewal, 5 * time.Minute},
	} {
		*d.value = d.or
		if d.text == nil {
			continue
		}
		if d.value == &s.functionTimeout && *d.text == "-1" {
			*d.value = 0
			continue
		}
		v, err := parseTimeSpan(*d.text)
		if err != nil {
			return settings{}, fmt.Errorf("%s: %w", d.name, err)
		}
		if v == 0 && d.value != &s.maxAutoLockRenewal {
			return settings{}, fmt.Errorf("%s is zero", d.name)
		}
		*d.value = v
	}
	return s, nil
}

var timeSpan = regexp.MustCompile(`^(?:(\d{1,3})\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?$`)

// parseTimeSpan reads a .NET TimeSpan, [d.]hh:mm[:ss[.fffffff]], that is not
// negative.
func parseTimeSpan(text string) (time.Duration, error) {
	m := timeSpan.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is not a time span such as 00:05:00", text)
	}
	n := make([]int, len(m))
	for i, digits := range m[1:] {
		if i == 4 {
			digits = (digits + "0000000")[:7]
		}
		n[i], _ = strconv.Atoi(digits) // digits by the pattern; none is 0
	}
	if n[1] > 23 || n[2] > 59 || n[3] > 59 {
		return 0, fmt.Errorf("%q is out of the range of a time span", text)
	}
	return time.Duration(n[0])*24*time.Hour + time.Duration(n[1])*time.Hour + time.Duration(n[2])*time.Minute +
		time.Duration(n[3])*time.Second + time.Duration(n[4])*100*time.Nanosecond, nil
}
