package nsg

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/infra/arm"
)

// groupsVersion is the api-version of the list of NSGs: that with which armnetwork reads and writes one, since
// what is listed is written back.
const groupsVersion = "2025-05-01"

// listGroups gives each page of a subscription's NSGs, as the bytes that ARM sent. The SDK's pager asks for the same, but
// makes its model of everything to learn where the next page is, which takes twenty times as long.
func (s *clients) listGroups(ctx context.Context, subscription string, page func([]arm.Listed) error) error {
	path := "/subscriptions/" + url.PathEscape(subscription) + "/providers/Microsoft.Network/networkSecurityGroups"
	return s.eachPage(ctx, path, url.Values{"api-version": {groupsVersion}}, func(text []byte) (string, error) {
		value, next, err := arm.ReadPage(text)
		if err != nil {
			return "", err
		}
		return next, page(value)
	})
}

// eachPage gets the pages of a list one after the other, by the pipeline of the SDK's clients alone. read gives where
// the next one is, "" for the last.
func (s *clients) eachPage(ctx context.Context, path string, query url.Values, read func(text []byte) (next string, err error)) error {
	next := runtime.JoinPaths(s.raw.Endpoint(), path) + "?" + query.Encode()
	for next != "" {
		if !samePlace(next, s.raw.Endpoint()) {
			return fmt.Errorf("the next page is at another place: %q", next)
		}
		req, err := runtime.NewRequest(ctx, http.MethodGet, next)
		if err != nil {
			return err
		}
		req.Raw().Header.Set("Accept", "application/json")
		resp, err := s.raw.Pipeline().Do(req)
		if err != nil {
			return err
		}
		if !runtime.HasStatusCode(resp, http.StatusOK) {
			return runtime.NewResponseError(resp)
		}
		text, err := runtime.Payload(resp)
		if err != nil {
			return err
		}
		if next, err = read(text); err != nil {
			return err
		}
	}
	return nil
}

// samePlace reports whether a URL is at the endpoint's host, where our token may go. ARM writes the port at times.
func samePlace(link, endpoint string) bool {
	a, err1 := url.Parse(link)
	b, err2 := url.Parse(endpoint)
	return err1 == nil && err2 == nil && a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
