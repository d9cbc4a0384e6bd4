package show

import "net/url"

// Root is the path below which the page is.
const Root = "/api/portal/"

// Link returns the address of a part of the page, with parameters that have a value.
func Link(p string, params ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] != "" {
			q.Set(params[i], params[i+1])
		}
	}
	if len(q) == 0 {
		return Root + p
	}
	return Root + p + "?" + q.Encode()
}
