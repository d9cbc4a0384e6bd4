// Package ending is the part of the page that ends the protection of machines: of one beside what is shown of it, or of all that are ticked in the
// list, after a look at what that changes.
//
// It is a door like package portal, which hands it each call of an identified caller and draws what it shows. It calls one verb, and decides nothing itself.
package ending

import (
	"net/http"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/preview"
	"portcullis/handlers/portal/second"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// Pages are the pages of this package. Every field must be set.
type Pages struct{ App *core.App }

// View is the form that ends the protection of machines.
type View struct {
	VMs     []Machine
	List    string // link to the list that it came from
	Changes show.Changes
	Windows []string // that close
	Unsure  bool     // the box was not ticked
	Done    bool
}

// Machine is one of its machines.
type Machine struct{ Name, ID string }

// Disable ends the protection of machines, or draws the form that asks for it: POST /api/portal/disable.
func (p Pages) Disable(c second.Call, vms []jit.ID) error {
	intent, sure := c.PostForm.Get("intent"), c.PostForm.Get("sure") == "yes"
	switch {
	case intent == "" && !sure:
		return &jit.Error{Code: "NotConfirmed", Message: "tick the box that says you are sure, then end the protection"}
	case intent == "":
		if _, err := p.App.Access.Disable(c.Context(), c.Who, vms); err != nil {
			return err
		}
		c.To("machine?vm=" + vms[0].String())
		return nil
	case intent == "end" && sure:
		ends, err := p.App.Access.Disable(c.Context(), c.Who, vms)
		if err != nil {
			return err
		}
		v := viewOf(c, vms, ends, nil)
		v.Done = true
		c.Draw(http.StatusOK, "ending", "Protection has ended", v)
		return nil
	}
	ends, changes, err := p.App.Access.PreviewDisable(c.Context(), c.Who, vms)
	if err != nil {
		return err
	}
	v, status := viewOf(c, vms, ends, changes), http.StatusOK
	if v.Unsure = intent == "end"; v.Unsure {
		status = http.StatusBadRequest
	}
	c.Draw(status, "ending", "End protection", v)
	return nil
}

func viewOf(c second.Call, vms []jit.ID, ends narrow.Ends, changes []preview.Change) View {
	v := View{List: show.ListAgain(c.PostForm.Get("list")), Windows: words.Ended(ends.Grants)}
	for _, vm := range vms {
		v.VMs = append(v.VMs, Machine{vm.Name, vm.String()})
	}
	v.Changes = show.Changes{Computed: true, Targets: show.TargetsOf(changes)}
	return v
}
