// Package browser tests the page in a real browser: headless Chromium against the
// whole machine that `make run` starts.
//
// It holds tests alone. They are apart from the other packages because they
// need Chromium (local/need-chromium installs Debian's) and take seconds.
// Each run leaves screenshots in screenshots/, which git ignores.
package browser
