package wire

import (
	"net/url"
	"slices"
	"strings"
)

// AmbiguousPath reports whether a path could be read in two ways: by the platform's front
// end, the Functions host and us. In proxy mode the host passes an encoded slash on as %252F, so that a
// percent sign is left in what was decoded; no name that is known here has one.
func AmbiguousPath(u *url.URL) bool {
	if strings.Contains(u.Path, "//") || strings.ContainsAny(u.Path, `\%`) || strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return true
	}
	return slices.ContainsFunc(strings.Split(u.Path, "/"), func(segment string) bool { return segment == "." || segment == ".." })
}
