package record

import (
	"net/netip"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// intentDoc is an intent of a grant as it is stored.
type intentDoc struct {
	Operation   string
	Result      string
	Requestor   string
	Tenant      string `json:",omitempty"`
	Object      string `json:",omitempty"`
	Kind        string `json:",omitempty"`
	Client      string `json:",omitempty"`
	SignIn      string `json:",omitempty"`
	Address     string `json:",omitempty"`
	Correlation string `json:",omitempty"`
	Message     string `json:",omitempty"`
	At          entity.Stamp
	Generation  int
}

func intentDocs(intents []store.Intent) []intentDoc {
	var out []intentDoc
	for _, n := range intents {
		d := intentDoc{Operation: string(n.Operation), Result: string(n.Result), Requestor: n.Requestor, Tenant: n.Actor.Tenant, Object: n.Actor.Object, Kind: string(n.Actor.Kind),
			Client: n.Actor.Client, SignIn: n.Actor.SignIn, Correlation: n.Correlation, Message: n.Message, At: entity.Stamp(n.At), Generation: n.Generation}
		if n.Actor.Address.IsValid() {
			d.Address = n.Actor.Address.String()
		}
		out = append(out, d)
	}
	return out
}

func intentsOf(docs []intentDoc) ([]store.Intent, error) {
	var out []store.Intent
	for _, d := range docs {
		n := store.Intent{Operation: store.Operation(d.Operation), Result: store.Result(d.Result), Requestor: d.Requestor,
			Actor:       jit.Actor{Tenant: d.Tenant, Object: d.Object, Kind: jit.CallerKind(d.Kind), Client: d.Client, SignIn: d.SignIn},
			Correlation: d.Correlation, Message: d.Message, At: time.Time(d.At), Generation: d.Generation}
		if d.Address != "" {
			var err error
			if n.Actor.Address, err = netip.ParseAddr(d.Address); err != nil {
				return nil, err
			}
		}
		out = append(out, n)
	}
	return out, nil
}
