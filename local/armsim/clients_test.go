package armsim_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/local/armsim"
)

func ifMatch(ctx context.Context, etag string) context.Context {
	return policy.WithHTTPHeader(ctx, http.Header{"If-Match": {etag}})
}

// The SDK's own poller follows a write to its end, in both ways in which ARM answers.
func TestPollers(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer armsim.Answer
		polls  int
	}{
		{"updating", armsim.AnswerUpdating, 1},
		{"succeeded at once", armsim.AnswerSucceeded, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, armsim.Knobs{Writes: armsim.Writes{Answer: test.answer, PollRetryAfter: armsim.Duration(time.Millisecond)}})
			client := r.net.NewSecurityGroupsClient()
			poller, err := client.BeginCreateOrUpdate(t.Context(), "rg", "nsg", model("a", "b"), nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := poller.PollUntilDone(patience(t), &runtime.PollUntilDoneOptions{Frequency: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(*res.Name, *res.Properties.ProvisioningState, len(res.Properties.SecurityRules), len(res.Properties.DefaultSecurityRules)); got != "nsgSucceeded2 6" {
				t.Errorf("got %s", got)
			}
			if *res.Etag != *res.Properties.SecurityRules[1].Etag {
				t.Error("a rule has another etag than its NSG")
			}
			want := armsim.Counts{Reads: 1, Writes: 1, Polls: test.polls}
			if got := r.arm.CountsOf(nsgID); got != want {
				t.Errorf("counts: got %+v, want %+v", got, want)
			}
		})
	}
}
