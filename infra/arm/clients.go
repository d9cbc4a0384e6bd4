package arm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/jit"
)

// Clients holds the SDK's clients of each subscription. The zero value is ready; it is safe for concurrent use.
type Clients[T any] struct {
	mu   sync.Mutex
	made map[string]*T // by subscription, in lower case
}

// Of returns the clients for a subscription, made by make when first asked for. What is no GUID names none.
func (c *Clients[T]) Of(id string, make func(id string) (*T, error)) (*T, error) {
	if !jit.ValidGUID(id) {
		return nil, fmt.Errorf("%q is not the id of a subscription", id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.ToLower(id)
	if s, ok := c.made[key]; ok {
		return s, nil
	}
	s, err := make(id)
	if err != nil {
		return nil, fmt.Errorf("make clients for subscription %s: %w", id, err)
	}
	if c.made == nil {
		c.made = map[string]*T{}
	}
	c.made[key] = s
	return s, nil
}

// Payload returns the bytes with which Resource Manager answers what get asks for. The model's own reading is not used: a field that
// it cannot decode is no reason not to go on.
func Payload(ctx context.Context, get func(context.Context) error) ([]byte, error) {
	var resp *http.Response
	if err := get(policy.WithCaptureResponse(ctx, &resp)); err != nil && !Answered(resp) {
		return nil, err
	}
	return runtime.Payload(resp)
}

// Wait returns after a time, or with the context's error at its end.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
