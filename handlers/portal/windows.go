package portal

import (
	"net/http"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/portal/audit"
	"portcullis/handlers/portal/chart"
	"portcullis/handlers/portal/form"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// windowsView is the picture of who had what open, when.
type windowsView struct {
	Chart chart.Chart
	Span  string // 24h or 7d
	VM    string // the id of the machine that it is of, "" for all
	Name  string
	Wrong form.Wrongs
}

// windows draws the picture: GET /api/portal/windows?span=24h or 7d&vm=ID.
func (s *server) windows(w http.ResponseWriter, c call) error {
	view := windowsView{Span: "24h", Wrong: form.Wrongs{}}
	span := day
	if c.URL.Query().Get("span") == "7d" {
		view.Span, span = "7d", week
	}
	var vm jit.ID
	if c.URL.Query().Get("vm") != "" {
		vms, err := c.vms()
		if err != nil {
			return err
		}
		vm = vms[0]
		view.VM, view.Name = vm.String(), vm.Name
	}
	var err error
	if view.Chart, err = s.chart(c, vm, span); err != nil {
		return err
	}
	s.render(w, c, http.StatusOK, "windows", "Windows over time", view)
	return nil
}

// chart draws the windows of a span that ends now, of one machine or of all.
func (s *server) chart(c call, vm jit.ID, span time.Duration) (chart.Chart, error) {
	from := c.now.Add(-span)
	grants, more, err := audit.Past{Inventory: s.App.Inventory, Find: s.App.Access.Find}.Grants(c.Context(), c.who, vm, from)
	if err != nil {
		return chart.Chart{}, err
	}
	out := chart.Draw(grants, vm, from, c.now)
	out.Cut = more
	return out, nil
}
