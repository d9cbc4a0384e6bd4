package record

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// grantDoc is a grant as it is stored, open or history.
type grantDoc struct {
	V         int
	Grant     grantFields
	At        []grantPlacementDoc
	Connect   map[string][]string
	NICs      map[string][]string `json:",omitempty"`
	Failed    string              `json:",omitempty"`
	Attempts  int
	LastError string
	Intents   []intentDoc   `json:",omitempty"`
	Replaces  []replacedDoc `json:",omitempty"`
	Told      *toldDoc      `json:",omitempty"`
}

// toldDoc is what was told of a grant.
type toldDoc struct {
	N int
	W string       `json:",omitempty"`
	R entity.Stamp // the end of which somebody was reminded
	S bool         `json:",omitempty"`
}

// replacedDoc is a window whose place a grant takes. M is the index of its machine among the grant's.
type replacedDoc struct {
	G string
	M int
	N uint16
	E entity.Stamp
}

// openDoc is what lists give of an open grant.
type openDoc struct {
	V     int
	Grant grantFields
}

// grantPartDoc is a grant as it bears on one target: the machines behind it.
type grantPartDoc struct {
	V      int
	Target string
	Grant  grantFields
	A      map[string][]string
}

type grantFields struct {
	ID            string
	RequestorID   string `json:",omitempty"`
	Requestor     string
	Justification string
	Glass         string `json:",omitempty"`
	Start         entity.Stamp
	OpenBy        entity.Stamp
	Generation    int
	Wait          *waitDoc `json:",omitempty"` // what it waits or has waited for; nothing for most
	VMs           []grantVMDoc
}

type grantVMDoc struct {
	VM    string
	Ports []windowDoc
}

type windowDoc struct {
	N  uint16
	P  string
	S  []string
	E  entity.Stamp
	F  bool   `json:",omitempty"` // the end was asked for as a time
	L  string `json:",omitempty"` // the length that was granted; in documents of before it was stored: nothing
	St string
	R  string   `json:",omitempty"`
	U  bool     `json:",omitempty"` // never confirmed open
	M  string   `json:",omitempty"` // address and port of a firewall
	V  []string `json:",omitempty"` // what the machine sees come through it
}

type grantPlacementDoc struct {
	T string
	A map[string][]string
	C bool `json:",omitempty"` // confirmed
}

func fieldsOf(g jit.Grant) (grantFields, error) {
	f := grantFields{ID: g.ID, RequestorID: g.RequestorID, Requestor: g.Requestor, Justification: g.Justification, Glass: string(g.BreakGlass), Start: entity.Stamp(g.Start), OpenBy: entity.Stamp(g.OpenBy), Generation: g.Generation, Wait: newWaitDoc(g.Wait)}
	for _, vm := range g.VMs {
		id, err := entity.IDText(vm.VM)
		if err != nil {
			return f, err
		}
		d := grantVMDoc{VM: id}
		for _, w := range vm.Ports {
			status, err := entity.StatusName(w.Status)
			if err != nil {
				return f, err
			}
			d.Ports = append(d.Ports, windowDoc{N: w.Number, P: string(w.Protocol), S: w.Sources.Strings(), E: entity.Stamp(w.End), F: w.Fixed, L: lengthText(w.Length), St: status, R: string(w.Reason), U: w.Unconfirmed, M: entity.MappedText(w.Mapped), V: w.Via.Strings()})
		}
		f.VMs = append(f.VMs, d)
	}
	return f, nil
}

// lengthText returns a length as it is stored, "" for none.
func lengthText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func lengthOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}

func (f grantFields) grant() (jit.Grant, error) {
	g := jit.Grant{ID: f.ID, RequestorID: f.RequestorID, Requestor: f.Requestor, Justification: f.Justification, BreakGlass: jit.BreakGlass(f.Glass), Start: time.Time(f.Start), OpenBy: time.Time(f.OpenBy), Generation: f.Generation, Wait: f.Wait.wait()}
	for _, d := range f.VMs {
		id, err := entity.IDOf(d.VM)
		if err != nil {
			return g, err
		}
		vm := jit.GrantVM{VM: id}
		for _, w := range d.Ports {
			sources, err := entity.SourcesOf(w.S)
			if err != nil {
				return g, err
			}
			status, err := entity.StatusOf(w.St)
			if err != nil {
				return g, err
			}
			length, err := lengthOf(w.L)
			if err != nil {
				return g, err
			}
			mapped, err := entity.MappedOf(w.M)
			if err != nil {
				return g, err
			}
			via, err := entity.SourcesOf(w.V)
			if err != nil {
				return g, err
			}
			vm.Ports = append(vm.Ports, jit.Window{Number: w.N, Protocol: jit.Protocol(w.P), Sources: sources, End: time.Time(w.E), Fixed: w.F, Length: length, Status: status, Reason: jit.Reason(w.R), Unconfirmed: w.U, Mapped: mapped, Via: via})
		}
		g.VMs = append(g.VMs, vm)
	}
	return g, nil
}

// Listed returns what lists give of an open grant.
func Listed(g jit.Grant) (any, error) {
	fields, err := fieldsOf(g)
	return openDoc{V: entity.Version, Grant: fields}, err
}

// ReadListed reads what lists give of an open grant.
func ReadListed(r entity.Stored) (jit.Grant, error) {
	var d openDoc
	if err := r.Read(&d); err != nil {
		return jit.Grant{}, err
	}
	g, err := d.Grant.grant()
	if err != nil {
		return jit.Grant{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	return g, nil
}

// Grant returns the document of a grant.
func Grant(r store.GrantRecord) (any, error) {
	fields, err := fieldsOf(r.Grant)
	if err != nil {
		return nil, err
	}
	d := grantDoc{V: entity.Version, Grant: fields, Connect: entity.AddressMapTexts(r.Connect), NICs: r.Interfaces, Failed: r.Failed, Attempts: r.Attempts, LastError: r.LastError, Intents: intentDocs(r.Intents)}
	if t := r.Told; t != (store.Told{}) {
		d.Told = &toldDoc{N: t.Seq, W: t.Windows, R: entity.Stamp(t.Reminded), S: t.Stuck}
	}
	for _, w := range r.Replaces {
		m := slices.IndexFunc(r.Grant.VMs, func(vm jit.GrantVM) bool { return vm.VM.Equal(w.VM) })
		if m < 0 {
			return nil, fmt.Errorf("grant %s replaces a window of %s, which it does not name", r.Grant.ID, w.VM.Name)
		}
		d.Replaces = append(d.Replaces, replacedDoc{G: w.Grant, M: m, N: w.Port, E: entity.Stamp(w.End)})
	}
	for _, p := range r.Placements {
		target, err := entity.IDText(p.Target)
		if err != nil {
			return d, err
		}
		d.At = append(d.At, grantPlacementDoc{T: target, A: entity.AddressMapTexts(p.Addresses), C: p.Confirmed})
	}
	return d, nil
}

// ReadGrant reads the document of a grant; its Version is not set.
func ReadGrant(r entity.Stored) (store.GrantRecord, error) {
	var d grantDoc
	if err := r.Read(&d); err != nil {
		return store.GrantRecord{}, err
	}
	rec, err := d.record()
	if err != nil {
		return rec, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	return rec, nil
}

func (d grantDoc) record() (store.GrantRecord, error) {
	g, err := d.Grant.grant()
	if err != nil {
		return store.GrantRecord{}, err
	}
	connect, err := entity.AddressMapOf(d.Connect)
	if err != nil {
		return store.GrantRecord{}, err
	}
	r := store.GrantRecord{Grant: g, Connect: connect, Interfaces: d.NICs, Failed: d.Failed, Attempts: d.Attempts, LastError: d.LastError}
	if t := d.Told; t != nil {
		r.Told = store.Told{Seq: t.N, Windows: t.W, Reminded: time.Time(t.R), Stuck: t.S}
	}
	if r.Intents, err = intentsOf(d.Intents); err != nil {
		return r, err
	}
	for _, w := range d.Replaces {
		if w.M < 0 || w.M >= len(g.VMs) {
			return r, fmt.Errorf("a replaced window is of machine %d of %d", w.M, len(g.VMs))
		}
		r.Replaces = append(r.Replaces, store.Replaced{Grant: w.G, VM: g.VMs[w.M].VM, Port: w.N, End: time.Time(w.E)})
	}
	for _, at := range d.At {
		target, err := entity.IDOf(at.T)
		if err != nil {
			return r, err
		}
		addrs, err := entity.AddressMapOf(at.A)
		if err != nil {
			return r, err
		}
		r.Placements = append(r.Placements, store.GrantPlacement{Target: target, Addresses: addrs, Confirmed: at.C})
	}
	return r, nil
}

// GrantPart returns the document of a grant as it bears on one target.
func GrantPart(g jit.Grant, p store.GrantPlacement) (any, error) {
	target, err := entity.IDText(p.Target)
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf(behind(g, p.Addresses))
	return grantPartDoc{V: entity.Version, Target: target, Grant: fields, A: entity.AddressMapTexts(p.Addresses)}, err
}

// behind keeps the machines of a grant that stand behind a target.
func behind(g jit.Grant, addresses map[string][]netip.Addr) jit.Grant {
	var vms []jit.GrantVM
	for _, vm := range g.VMs {
		if _, ok := addresses[vm.VM.Key()]; ok {
			vms = append(vms, vm)
		}
	}
	g.VMs = vms
	return g
}

// ReadGrantPart reads a grant as it bears on one target.
func ReadGrantPart(r entity.Stored) (roster.Opening, error) {
	var d grantPartDoc
	if err := r.Read(&d); err != nil {
		return roster.Opening{}, err
	}
	g, err := d.Grant.grant()
	if err != nil {
		return roster.Opening{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	addrs, err := entity.AddressMapOf(d.A)
	if err != nil {
		return roster.Opening{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	return roster.Opening{Grant: g, Addresses: addrs}, nil
}
