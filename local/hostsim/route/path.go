package route

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ReadPath reads the path of a request as the host's server does, once, for the routes and
// for the handler: what is percent-encoded is decoded, but for an encoded slash and for what
// is no UTF-8, and then dot segments are resolved. An encoded slash and one that is
// encoded twice are one text from here on. It reports false for an encoded zero, which
// the server refuses.
func ReadPath(escaped string) (path string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(escaped); {
		r, n := decodeRune(escaped[i:])
		switch {
		case n == 3 && r == 0:
			return "", false
		case n == 0 || n == 3 && r == '/':
			b.WriteByte(escaped[i])
			i++
		default:
			b.WriteRune(r)
			i += n
		}
	}
	root := url.URL{Path: "/"}
	return root.ResolveReference(&url.URL{Path: b.String()}).Path, true
}

// decodeRune decodes the percent-encoded character that text begins with, and tells the
// length of its encoding; 0 if there is none.
func decodeRune(text string) (r rune, n int) {
	var raw []byte
	for ; len(raw) < utf8.UTFMax && n+3 <= len(text) && text[n] == '%'; n += 3 {
		v, err := strconv.ParseUint(text[n+1:n+3], 16, 8)
		if err != nil {
			break
		}
		raw = append(raw, byte(v))
	}
	r, size := utf8.DecodeRune(raw)
	if r == utf8.RuneError && size <= 1 {
		return 0, 0
	}
	return r, 3 * size
}

// WritePath writes a path that [ReadPath] gave as the host's proxy does: everything
// is encoded that a segment of RFC 3986 may not hold, the percent sign first of all.
func WritePath(path string) string { return encodeBut(path, isPathChar) }

func isPathChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0
}

// WriteQuery passes a query on as it was sent, but for what a URL of .NET cannot hold.
func WriteQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if query[i] == '%' {
			if _, err := url.QueryUnescape(query[i:min(i+3, len(query))]); err == nil {
				b.WriteByte('%')
				continue
			}
		}
		b.WriteString(encodeBut(query[i:i+1], func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte("#%\"<>`{}|^\\", c) < 0 }))
	}
	return b.String()
}

// encodeBut percent-encodes every byte of text that is not plain.
func encodeBut(text string, plain func(byte) bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
