package record

import (
	"time"

	"portcullis/core/jit"
	"portcullis/infra/table/entity"
)

// waitDoc is a grant's [jit.Wait].
type waitDoc struct {
	N   int            `json:",omitempty"` // approvers
	O   *entity.Stamp  `json:",omitempty"` // not before
	By  []*approvalDoc `json:",omitempty"`
	No  *approvalDoc   `json:",omitempty"` // who denied
	Rel *entity.Stamp  `json:",omitempty"` // when its opening began
}

type approvalDoc struct {
	ID string
	N  string
	At entity.Stamp
	By string `json:",omitempty"`
	P  string `json:",omitempty"` // the object id that the policy names
	R  string `json:",omitempty"` // the reason of a denial
}

func newWaitDoc(w jit.Wait) *waitDoc {
	d := &waitDoc{N: w.Approvers, O: stampOf(w.Opens), Rel: stampOf(w.Released), No: newApprovalDoc(w.Denied)}
	for _, a := range w.Approvals {
		d.By = append(d.By, newApprovalDoc(a))
	}
	if d.N == 0 && d.O == nil && d.Rel == nil && d.No == nil && d.By == nil {
		return nil
	}
	return d
}

func (d *waitDoc) wait() jit.Wait {
	if d == nil {
		return jit.Wait{}
	}
	w := jit.Wait{Approvers: d.N, Opens: timeOf(d.O), Released: timeOf(d.Rel), Denied: d.No.approval()}
	for _, a := range d.By {
		w.Approvals = append(w.Approvals, a.approval())
	}
	return w
}

func newApprovalDoc(a jit.Approval) *approvalDoc {
	if a == (jit.Approval{}) {
		return nil
	}
	return &approvalDoc{ID: a.ID, N: a.Name, At: entity.Stamp(a.At), By: string(a.By), P: a.Named, R: a.Reason}
}

func (d *approvalDoc) approval() jit.Approval {
	if d == nil {
		return jit.Approval{}
	}
	return jit.Approval{ID: d.ID, Name: d.N, At: time.Time(d.At), By: jit.Right(d.By), Named: d.P, Reason: d.R}
}

func stampOf(t time.Time) *entity.Stamp {
	if t.IsZero() {
		return nil
	}
	s := entity.Stamp(t)
	return &s
}

func timeOf(s *entity.Stamp) time.Time {
	if s == nil {
		return time.Time{}
	}
	return time.Time(*s)
}
