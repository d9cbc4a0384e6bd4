package tablesim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// authorize lets a request in by its Authorization header, or refuses it.
func (s *Server) authorize(r *http.Request) error {
	scheme, credential, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || credential == "" {
		return refuse(codeNoAuthentication)
	}
	switch {
	case strings.EqualFold(scheme, "Bearer") && s.config.Verify != nil:
		err := s.config.Verify(credential)
		if errors.Is(err, ErrForbidden) {
			return refuse(codeForbidden)
		}
		if err != nil {
			return refuse(codeBadToken)
		}
		return nil
	case scheme == "SharedKeyLite" && len(s.config.Key) > 0:
		account, signature, _ := strings.Cut(credential, ":")
		if account != s.config.Account || !hmac.Equal([]byte(signature), []byte(s.signature(r))) {
			return refuse(codeBadSignature)
		}
		return nil
	}
	return refuse(codeBadToken)
}

// signature is SharedKeyLite for the Table service: the date and the
// canonicalized resource
// (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
// The age of the date is not judged.
func (s *Server) signature(r *http.Request) string {
	date := r.Header.Get("X-Ms-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	resource := "/" + s.config.Account + r.URL.EscapedPath()
	if comp := r.URL.Query().Get("comp"); comp != "" {
		resource += "?comp=" + comp
	}
	mac := hmac.New(sha256.New, s.config.Key)
	mac.Write([]byte(date + "\n" + resource))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// newGUID is a random version 4 UUID.
func newGUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
