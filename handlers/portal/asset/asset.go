// Package asset serves the files that the page is made of to browsers: style, scripts and pictures, as they are embedded. They hold no data,
// so anybody may have them.
package asset

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"portcullis/web"
)

// Stamp names the content of all files, so that browsers may keep what they loaded with it for ever.
var Stamp = digest(web.Assets)

func digest(files fs.FS) string {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, p)
		sum.Write([]byte(p))
		sum.Write(text)
		return err
	})
	if err != nil {
		return "none" // cannot be: the files are embedded
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// Serve serves the file that the path value file names; 404 where there is none.
func Serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, err := fs.ReadFile(web.Assets, path.Join("assets", name))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // not left to the platform's own table
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	case "":
		kind = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	if r.URL.Query().Get("v") == Stamp {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(text) // an error now means that the browser is gone
}
