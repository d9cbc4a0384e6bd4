package main

import (
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/store"
	"portcullis/core/tell"
	"portcullis/infra/hook"
	"portcullis/infra/hook/slack"
	"portcullis/infra/hook/teams"
	"portcullis/infra/hook/webhook"
	"portcullis/infra/telemetry"
)

// courierOf returns who tells people, nil where the settings name no channel.
func courierOf(cfg config, cred azcore.TokenCredential, outbox store.Outbox, tel *telemetry.Telemetry) (*tell.Courier, error) {
	if len(cfg.Channels) == 0 {
		return nil, nil
	}
	c := &tell.Courier{Outbox: outbox, Page: cfg.Page, Now: time.Now, Panicked: tel.Panicked, Tried: tel.Told}
	for _, name := range cfg.Channels {
		client, err := hook.New(hook.Config{Name: name, URL: cfg.Tell[name].URL, Audience: cfg.Tell[name].Audience, Identity: cred})
		if err != nil {
			return nil, fmt.Errorf("build the channel: %w", err)
		}
		var channel tell.Channel
		switch name {
		case channelTeams:
			channel = &teams.Channel{Client: client}
		case channelSlack:
			channel = &slack.Channel{Client: client}
		default: // a Logic App that sends mail takes the same events
			channel = &webhook.Channel{Client: client, Source: sourceOf(cfg)}
		}
		c.Channels = append(c.Channels, tell.Named{Name: name, Channel: channel})
	}
	return c, nil
}

// sourceOf tells the events of this installation from those of others.
func sourceOf(cfg config) string {
	if cfg.Page == "" {
		return "urn:portcullis"
	}
	return cfg.Page
}
