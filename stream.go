package main

import (
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/stream"
	"portcullis/core/tell"
	"portcullis/infra/logs"
	"portcullis/infra/table"
	"portcullis/infra/telemetry"
)

// leavingOf returns what takes news out of the app, each nil where the settings name no place for it: messages to people, and the activity log.
func leavingOf(cfg config, cred azcore.TokenCredential, tables *table.Store, tel *telemetry.Telemetry) (*tell.Courier, *stream.Stream, error) {
	courier, err := courierOf(cfg, cred, tables, tel)
	if err != nil {
		return nil, nil, err
	}
	streamer, err := streamOf(cfg, cred, tables, tel)
	return courier, streamer, err
}

// streamOf returns what streams the activity log, nil where the settings name no place.
func streamOf(cfg config, cred azcore.TokenCredential, tables *table.Store, tel *telemetry.Telemetry) (*stream.Stream, error) {
	if cfg.Stream == (streaming{}) {
		return nil, nil
	}
	options := azcore.ClientOptions{Cloud: clouds()[cfg.Cloud].configuration, TracingProvider: tel.Tracing()}
	client, err := logs.New(logs.Config{Endpoint: cfg.Stream.Endpoint, Rule: cfg.Stream.Rule, Stream: cfg.Stream.Stream, Version: version(), Identity: cred, ClientOptions: options})
	if err != nil {
		return nil, fmt.Errorf("build the log ingestion client: %w", err)
	}
	return &stream.Stream{Log: tables, Record: tables, Receiver: client, Now: time.Now, Tried: tel.Streamed}, nil
}
