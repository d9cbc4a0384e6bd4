// Package web holds what the page is made of: templates, style, script and the
// pinned htmx that it uses. Nothing is built; the files are embedded as they lie here.
//
// It draws nothing and decides nothing: handlers/portal does. htmx is Big Sky
// Software's, version [HTMXVersion], under the licence beside it.
package web

import "embed"

// HTMXVersion is the version of the vendored htmx (npm: htmx.org).
const HTMXVersion = "2.0.11"

// Templates holds the page's templates, in templates/.
//
//go:embed templates/*.html
var Templates embed.FS

// Assets holds what browsers load, in assets/.
//
//go:embed assets
var Assets embed.FS
