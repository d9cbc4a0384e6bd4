package rbac

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/store"
)

// This file is the only place that knows what ARM's errors mean to the port.

const dependency = "Azure Resource Manager"

func refusal(err error) *azcore.ResponseError {
	r, _ := errors.AsType[*azcore.ResponseError](err)
	return r
}

func notFound(err error) bool {
	r := refusal(err)
	return r != nil && r.StatusCode == http.StatusNotFound
}

// translate returns an SDK error as an error of the port. It omits the SDK's own text, which has many lines.
func translate(doing string, err error) error {
	r := refusal(err)
	if r == nil {
		return fmt.Errorf("%s: %w", doing, &store.Unavailable{Dependency: dependency, Err: err})
	}
	reason := fmt.Errorf("%d %s", r.StatusCode, r.ErrorCode)
	switch {
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: %w: %w", doing, store.ErrForbidden, reason)
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("%s: %w", doing, &store.Unavailable{Dependency: dependency, RetryAfter: retryAfter(r.RawResponse), Err: reason})
	}
	return fmt.Errorf("%s: Azure Resource Manager answered %w", doing, reason)
}

// retryAfter returns how long ARM asks to wait; 0 if it does not say.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
