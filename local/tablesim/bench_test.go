package tablesim_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// BenchmarkServer measures operations a second over HTTP through aztables, on
// one connection and on as many as there are processors.
func BenchmarkServer(b *testing.B) {
	var next atomic.Int64
	key := func() string { return fmt.Sprintf("%09d", next.Add(1)) }
	for _, bench := range []struct {
		name string
		do   func(table *aztables.Client) error
	}{
		{"insert", func(table *aztables.Client) error {
			_, err := table.AddEntity(b.Context(), row(b, "p", key(), map[string]any{"a": 1, "b": "text"}), nil)
			return err
		}},
		{"get", func(table *aztables.Client) error {
			_, err := table.GetEntity(b.Context(), "fixed", "000500", nil)
			return err
		}},
		{"query of 10 rows of 1000", func(table *aztables.Client) error {
			_, err := table.NewListEntitiesPager(&aztables.ListEntitiesOptions{
				Filter: to.Ptr("PartitionKey eq 'fixed' and RowKey ge '000500' and RowKey lt '000510'"),
			}).NextPage(b.Context())
			return err
		}},
		{"transaction of 2", func(table *aztables.Client) error {
			_, err := table.SubmitTransaction(b.Context(), []aztables.TransactionAction{
				{ActionType: aztables.TransactionTypeAdd, Entity: row(b, "p", key(), nil)},
				{ActionType: aztables.TransactionTypeAdd, Entity: row(b, "p", key(), nil)},
			}, nil)
			return err
		}},
	} {
		for _, parallel := range []bool{false, true} {
			name := bench.name
			if parallel {
				name += " in parallel"
			}
			b.Run(name, func(b *testing.B) {
				_, service := open(b)
				table := created(b, service, "things")
				for i := range 10 {
					actions := []aztables.TransactionAction{}
					for j := range 100 {
						actions = append(actions, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: row(b, "fixed", fmt.Sprintf("%06d", 100*i+j), nil)})
					}
					if _, err := table.SubmitTransaction(b.Context(), actions, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				if parallel {
					b.SetParallelism(4)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := bench.do(table); err != nil {
								b.Error(err)
							}
						}
					})
				} else {
					for range b.N {
						if err := bench.do(table); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}
