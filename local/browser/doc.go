// Package browser tests the page in a real browser: headless Chromium against the
// whole machine that `make run` starts.
//
// It holds tests alone. They are apart from the other packages because they
// need Chromium (local/need-chromium installs Debian's) and take seconds.
// A run leaves screenshots in screenshots/, which git ignores: the README's, and what the page
// showed where a test failed; with -shots, one of every step.
package browser
