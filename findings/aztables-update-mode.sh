#!/usr/bin/env bash
# aztables (Go): UpdateEntity with IfMatch but without UpdateMode sends nothing, and its error is none of the service's.
#
# Version: github.com/Azure/azure-sdk-for-go/sdk/data/aztables v1.4.1 on azcore v1.24.0.
# With nil options UpdateEntity merges. So one would expect options that hold an IfMatch alone to merge under that condition.
# Seen: a plain error ("invalid EntityUpdateMode"), no request on the wire, no *azcore.ResponseError, so code
# that sorts errors by status takes it for a failure of the network. Source: client.go of that version.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
go_program <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

func main() {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	client, err := aztables.NewClientWithNoCredential(server.URL+"/account/grants", nil)
	if err != nil {
		panic(err)
	}
	try := func(options *aztables.UpdateEntityOptions) {
		sent = 0
		_, err := client.UpdateEntity(context.Background(), []byte(`{"PartitionKey":"a","RowKey":"1"}`), options)
		var response *azcore.ResponseError
		fmt.Printf("sent %d, error %v, of the service %v; ", sent, err, errors.As(err, &response))
	}
	tag := azcore.ETag("W/\"1\"")
	try(nil)
	try(&aztables.UpdateEntityOptions{IfMatch: &tag})
	try(&aztables.UpdateEntityOptions{IfMatch: &tag, UpdateMode: aztables.UpdateModeMerge})
}
GO
expect "nil options; IfMatch alone; IfMatch and UpdateMode" "sent 1, error <nil>, of the service false; \
sent 0, error invalid EntityUpdateMode, of the service false; sent 1, error <nil>, of the service false; " "$(go_run)"
