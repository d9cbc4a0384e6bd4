package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// streaming is where the activity log is streamed; the zero value is nowhere.
type streaming struct {
	Endpoint string
	Rule     string
	Stream   string
}

// endpointSetting is the setting that turns the stream on, with the two beside it.
const endpointSetting = "PORTCULLIS_LOG_INGESTION_ENDPOINT"

var (
	ruleForm   = regexp.MustCompile(`^dcr-[0-9a-f]{32}$`)
	streamForm = regexp.MustCompile(`^Custom-[A-Za-z][A-Za-z0-9_]{0,60}$`)
)

// streamSettings returns the settings of the stream of the activity log.
func streamSettings() []setting {
	shaped := func(to func(*config) *string, form *regexp.Regexp, such string) func(*config, string) error {
		return func(c *config, v string) error {
			*to(c) = v
			if v != "" && !form.MatchString(v) {
				return fmt.Errorf("%q is not of the form %s", v, such)
			}
			return nil
		}
	}
	return []setting{
		{endpointSetting, optional, "URL of the log ingestion to which the activity log is streamed; empty for nowhere. Set together with rule and stream", func(c *config, v string) (err error) {
			if v != "" {
				c.Stream.Endpoint, err = endpoint(v)
			}
			return err
		}},
		{"PORTCULLIS_LOG_INGESTION_RULE", optional, "immutable id of the data collection rule that takes it, dcr-...", shaped(func(c *config) *string { return &c.Stream.Rule }, ruleForm, "dcr- and 32 hexadecimal digits")},
		{"PORTCULLIS_LOG_INGESTION_STREAM", optional, "name of the rule's stream, Custom-...", shaped(func(c *config) *string { return &c.Stream.Stream }, streamForm, "Custom-Name")},
	}
}

// unstreamed returns why the activity log cannot be streamed although something of it is set: half of it would stream nothing, and nobody would know.
func unstreamed(c config, ingestion string) error {
	s := c.Stream
	u, err := url.Parse(s.Endpoint)
	switch {
	case s == streaming{}:
		return nil
	case s.Endpoint == "" || s.Rule == "" || s.Stream == "":
		return errors.New("endpoint, rule and stream are set together, or none of them")
	case err != nil:
		return err
	case !onLoopback(u.Host) && !endsWith(u.Host, ingestion):
		return fmt.Errorf("%q is not in %s, where it ends with %s", s.Endpoint, c.Cloud, ingestion)
	}
	return nil
}
