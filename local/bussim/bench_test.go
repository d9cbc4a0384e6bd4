package bussim_test

import (
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/local/bussim"
)

// BenchmarkClient sends, and receives and completes, messages of 1 KiB one at
// a time.
func BenchmarkClient(b *testing.B) {
	for _, stored := range []bool{false, true} {
		s := serve(b, func(c *bussim.Config) {
			if stored {
				c.Dir = b.TempDir()
			}
		})
		client := dial(b, s.connectionString())
		out, in := sender(b, client, plainQueue), receiver(b, client, plainQueue, nil)
		ctx := bounded(b)
		body := make([]byte, 1024)
		b.Run(fmt.Sprintf("stored=%t/send", stored), func(b *testing.B) {
			for b.Loop() {
				if err := out.SendMessage(ctx, &azservicebus.Message{Body: body}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("stored=%t/send+receive+complete", stored), func(b *testing.B) {
			for b.Loop() {
				if err := out.SendMessage(ctx, &azservicebus.Message{Body: body}, nil); err != nil {
					b.Fatal(err)
				}
				got, err := in.ReceiveMessages(ctx, 1, nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := in.CompleteMessage(ctx, got[0], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
