#!/usr/bin/env bash
# aztables (Go): a float64 without a fraction, stored in an EDMEntity, comes back as an int32.
#
# Version: github.com/Azure/azure-sdk-for-go/sdk/data/aztables v1.4.1.
# EDMEntity is the type that keeps the types of the OData wire: EDMInt64, EDMDateTime and others carry theirs. One would expect a
# float64 to carry Edm.Double. Seen: 2.5 comes back as float64, 2.0 is written as 2 without a type and comes back as int32, so
# a column changes its type with its value, and a type assertion to float64 fails for some rows only.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
go_program <<'GO'
package main

import (
	"encoding/json"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

func main() {
	text, err := json.Marshal(aztables.EDMEntity{Properties: map[string]any{"a": 2.5, "b": float64(2)}})
	if err != nil {
		panic(err)
	}
	var back aztables.EDMEntity
	if err := json.Unmarshal(text, &back); err != nil {
		panic(err)
	}
	fmt.Printf("2.5 is a %T, 2.0 is a %T", back.Properties["a"], back.Properties["b"])
}
GO
expect "after a round trip" "2.5 is a float64, 2.0 is a int32" "$(go_run)"
