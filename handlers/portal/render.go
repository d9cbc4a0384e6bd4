package portal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/portal/asset"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
	"portcullis/web"
)

// page is what the layout shows around a view.
type page struct {
	Title  string
	View   string
	Who    string // "" for somebody unknown
	Now    time.Time
	Part   bool // for htmx: no whole page
	Others []Provider
	Held   []string // what is locked down
	Data   any
}

// views is one set of templates for each view, by name.
var views = parse(web.Templates, "machines", "open", "last", "machine", "request", "configure", "ending", "changes", "grant", "decide", "lockdown", "lockedown", "activity", "windows", "report", "findings", "protect", "signin", "refused")

func parse(files fs.FS, names ...string) map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range names {
		out[name] = template.Must(template.New("layout.html").Funcs(functions()).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/waiting.html", "templates/"+name+".html"))
	}
	return out
}

// functions are what templates may call.
func functions() template.FuncMap {
	return template.FuncMap{
		"asset":    func(name string) string { return Root + "assets/" + name + "?v=" + asset.Stamp },
		"at":       func(p string, params ...string) string { return show.Link(p, params...) },
		"length":   jit.Length,
		"days":     words.Days,
		"ago":      words.Ago,
		"when":     words.When,
		"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"service":  words.Service,
		"protocol": words.Protocol,
		"sources":  words.Sources,
		"kind":     words.Kind,
		"sentence": words.Sentence,
		"group":    func(id jit.ID) string { return id.ResourceGroup },
		"counted":  words.Counted,
		"join":     words.Join,
		"widest":   words.Widest,
		"add":      func(a, b int) int { return a + b },
	}
}

// stampOf tells one state of a view from another.
func stampOf(view any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", view))
	return hex.EncodeToString(sum[:8])
}

// same is all of an answer that changes nothing: a page that looks every 15 seconds all day sends nothing else. It is not
// empty, since the host may hang on an answer that is.
const same = "<!-- as it is shown -->"

// unchanged leaves the page as it is where it shows what it asks for already: it looks again by
// itself, and what was replaced under somebody's hands would lose the focus and the click that is
// being made.
func (c call) unchanged(w http.ResponseWriter, stamp string) {
	if c.URL.Query().Get("shown") == stamp {
		w.Header().Set("HX-Reswap", "none")
	}
}

// held says what is locked down, as far as who looks may know it.
func (s *server) held(c call) []string {
	list, err := s.App.Lockdown.Standing(c.Context(), c.who)
	if err != nil {
		s.Log.Warn("read whether openings are held", "invocation", c.who.Correlation, "error", err.Error())
		return []string{words.HeldUnknown}
	}
	return words.Held(list)
}

// render draws a view: within the layout, or alone where htmx asked. The whole is drawn
// before a byte is sent, so that an error never leaves half a page.
func (s *server) render(w http.ResponseWriter, c call, status int, view, title string, data any) {
	p := page{Title: title, View: view, Who: c.who.Name, Now: c.now, Part: c.partly(), Data: data}
	if len(s.SignIn) > 1 {
		p.Others = s.SignIn
	}
	if p.Part && status == http.StatusOK && w.Header().Get("HX-Reswap") == "none" {
		w.Header().Set("Portcullis-View", view)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, same)
		return
	}
	name := "layout.html"
	if p.Part {
		name = "main"
	} else if p.Who != "" {
		p.Held = s.held(c)
	}
	var out bytes.Buffer
	if err := views[view].ExecuteTemplate(&out, name, p); err != nil {
		s.Log.Error("draw the page", "invocation", c.who.Correlation, "view", view, "error", err.Error())
		http.Error(w, "The page could not be drawn. The log holds why under this request id: "+c.who.Correlation, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Portcullis-View", view) // which tells the page's script that the answer is the app's
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // an error now means that the browser is gone
}
