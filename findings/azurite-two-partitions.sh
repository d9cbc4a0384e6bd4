#!/usr/bin/env bash
# Azurite takes a batch over two partitions of a table, which the service refuses.
#
# Version: Azurite 3.37.0 (npm), client aztables v1.4.1 (Go).
# The service documents that all entities of a transaction have one PartitionKey ("Performing entity group transactions", error
# CommandsInBatchActOnDifferentPartitions, 400). One would expect its emulator to refuse what it refuses. Seen: no error, both
# rows stored. So a test against Azurite alone does not show that a store keeps its transactions within one partition.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
port=$(free_port)
azurite table "$port"
go_program <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

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
	_, err = client.SubmitTransaction(ctx, []aztables.TransactionAction{
		{ActionType: aztables.TransactionTypeAdd, Entity: []byte(`{"PartitionKey":"a","RowKey":"1"}`)},
		{ActionType: aztables.TransactionTypeAdd, Entity: []byte(`{"PartitionKey":"b","RowKey":"1"}`)},
	}, nil)
	rows := 0
	for pager := client.NewListEntitiesPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			panic(err)
		}
		rows += len(page.Entities)
	}
	fmt.Printf("error %v, rows %d", err, rows)
}
GO
expect "a batch over two partitions" "error <nil>, rows 2" "$(go_run "$account" "$key" "http://127.0.0.1:$port")"
