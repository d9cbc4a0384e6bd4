#!/usr/bin/env bash
# aztables (Go) with Azurite: a batch that fails is an error with status 202 and no code.
#
# Version: aztables v1.4.1 on azcore v1.24.0, Azurite 3.37.0 (npm).
# A batch answers 202 as a whole and holds the status of the failing operation inside. One would expect the client to give that one,
# as it does for a single operation (409 EntityAlreadyExists). Seen: a *azcore.ResponseError with StatusCode 202 and an
# empty ErrorCode; 409 and EntityAlreadyExists stand only in its text. Code that looks at StatusCode alone takes a conflict
# for a success that is an error.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
port=$(free_port)
azurite table "$port"
go_program <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

func main() {
	ctx := context.Background()
	credential, err := aztables.NewSharedKeyCredential(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	client, err := aztables.NewClientWithSharedKey(os.Args[3]+"/"+os.Args[1]+"/grants", credential, nil)
	if err != nil {
		panic(err)
	}
	if _, err := client.CreateTable(ctx, nil); err != nil {
		panic(err)
	}
	row := []byte(`{"PartitionKey":"a","RowKey":"1"}`)
	if _, err := client.AddEntity(ctx, row, nil); err != nil {
		panic(err)
	}
	_, single := client.AddEntity(ctx, row, nil)
	_, batch := client.SubmitTransaction(ctx, []aztables.TransactionAction{{ActionType: aztables.TransactionTypeAdd, Entity: row}}, nil)
	for _, err := range []error{single, batch} {
		var response *azcore.ResponseError
		if !errors.As(err, &response) {
			panic(err)
		}
		fmt.Printf("status %d, code %q, in the text %v; ", response.StatusCode, response.ErrorCode, strings.Contains(err.Error(), "EntityAlreadyExists"))
	}
}
GO
expect "the same row added again, alone and in a batch" \
  'status 409, code "EntityAlreadyExists", in the text true; status 202, code "", in the text true; ' \
  "$(go_run "$account" "$key" "http://127.0.0.1:$port")"
