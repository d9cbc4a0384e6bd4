// Package smaller compresses what the page sends.
package smaller

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// Handler compresses what is sent to browsers that take it, from a kilobyte on: a list of machines is a tenth of its size on a slow line.
//
// What is compressed tells by its length whether two of its parts are alike (BREACH): somebody who has their own text put into an answer
// and sees its length could guess a secret in it. No answer of the page holds one: there is no token in forms (the origin is checked), and
// the session is a cookie. Other sites cannot read a length either, and the pages hold text of many people, which is what is left to guess;
// so lengths are padded by a random number of bytes all the same.
func Handler(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.RandomJitter(32, 0, false))
	if err != nil {
		return next // cannot be: the options are constants
	}
	return wrap(next)
}
