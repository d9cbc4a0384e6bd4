package access_test

import (
	"context"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/preview"
	"portcullis/core/protect"
	"portcullis/core/store"
)

// The verbs of rooms take input as tests write it, and check it as their callers must.

func (r rooms) Request(ctx context.Context, who jit.Caller, asked jit.Request, key string) (store.GrantRecord, bool, error) {
	checked, err := decide.Validate(asked, r.Service.Now(), decide.DefaultAhead)
	if err != nil {
		return store.GrantRecord{}, false, err
	}
	return r.Service.Request(ctx, who, checked, key)
}

func (r rooms) Preview(ctx context.Context, asked jit.Request) (store.GrantRecord, []preview.Change, error) {
	checked, err := decide.Validate(asked, r.Service.Now(), decide.DefaultAhead)
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	return r.Service.Preview(ctx, checked)
}

func (r rooms) Enable(ctx context.Context, who jit.Caller, policies []jit.Policy, dryRun bool) ([]protect.Enabled, []preview.Change, error) {
	checked, err := jit.ValidatePolicies(policies)
	if err != nil {
		return nil, nil, err
	}
	return r.Protection.Enable(ctx, who, checked, dryRun)
}

// valid checks policies that must be usable.
func valid(policies ...jit.Policy) []jit.ValidPolicy {
	var out []jit.ValidPolicy
	for _, p := range policies {
		checked, err := p.Validate()
		if err != nil {
			panic("the caller has introduced a bug: " + err.Error())
		}
		out = append(out, checked)
	}
	return out
}
