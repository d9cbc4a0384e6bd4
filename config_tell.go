package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/infra/hook"
)

// The channels of messages to people. Their names are stored with what is not delivered yet.
const (
	channelWebhook = "webhook"
	channelTeams   = "teams"
	channelSlack   = "slack"
	channelEmail   = "email"
)

// telling is how one channel is reached.
type telling struct {
	URL      string
	Audience string
}

// tellSettings returns the settings of messages to people.
func tellSettings() []setting {
	address := func(channel string) func(*config, string) error {
		return func(c *config, v string) error {
			if v == "" {
				return nil
			}
			t := c.Tell[channel]
			t.URL = v
			c.tells(channel, t)
			return hook.Check(v)
		}
	}
	audience := func(channel string) func(*config, string) error {
		return func(c *config, v string) error {
			if v == "" {
				return nil
			}
			t := c.Tell[channel]
			t.Audience = v
			c.tells(channel, t)
			if strings.ContainsAny(v, " \t,") {
				return fmt.Errorf("%q is not one audience", v)
			}
			return nil
		}
	}
	secret := ", or a Key Vault reference to it, since whoever has it can post there"
	return []setting{
		{"WEBSITE_HOSTNAME", ofPlatform, "host name of the app, to which links in messages lead", func(c *config, v string) error {
			if v != "" && c.Page == "" {
				c.Page = "https://" + v + "/api/portal"
			}
			return nil
		}},
		{tellSetting, optional, "through which channels people are told what happens to windows, separated by commas: webhook, teams, slack, email; empty for none", readTell},
		{"PORTCULLIS_TELL_WEBHOOK", optional, "address that takes CloudEvents" + secret, address(channelWebhook)},
		{"PORTCULLIS_TELL_WEBHOOK_AUDIENCE", optional, "audience for which the app's identity gets a token for that receiver, such as api://{app id}; empty where the address is the secret", audience(channelWebhook)},
		{"PORTCULLIS_TELL_TEAMS", optional, "address of the webhook of a Teams workflow" + secret, address(channelTeams)},
		{"PORTCULLIS_TELL_SLACK", optional, "address of a Slack incoming webhook" + secret, address(channelSlack)},
		{"PORTCULLIS_TELL_EMAIL", optional, "address of the Logic App that sends mail" + secret, address(channelEmail)},
		{"PORTCULLIS_TELL_EMAIL_AUDIENCE", optional, "audience for which the app's identity gets a token for that Logic App; empty where the address is the secret", audience(channelEmail)},
		{"PORTCULLIS_PAGE", oneMachine, "URL of the page on a loopback address, to which links in messages lead", func(c *config, v string) error {
			at, err := standIn(v)
			if v != "" {
				c.Page = at
			}
			return err
		}},
	}
}

// tellSetting is the setting that lists the channels.
const tellSetting = "PORTCULLIS_TELL"

func (c *config) tells(channel string, t telling) {
	if c.Tell == nil {
		c.Tell = map[string]telling{}
	}
	c.Tell[channel] = t
}

// readTell parses the list of channels. An unknown one is an error: nobody would be told.
func readTell(c *config, value string) error {
	c.Channels = names(value)
	slices.Sort(c.Channels)
	if len(slices.Compact(slices.Clone(c.Channels))) != len(c.Channels) {
		return errors.New("a channel is named twice")
	}
	known := []string{channelWebhook, channelTeams, channelSlack, channelEmail}
	for _, name := range c.Channels {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// untold returns why a channel that is named cannot be told anything.
func untold(c config) error {
	for _, name := range c.Channels {
		if c.Tell[name].URL == "" {
			return fmt.Errorf("%s is named, and %s_%s, its address, is not set", name, tellSetting, strings.ToUpper(name))
		}
	}
	return nil
}
