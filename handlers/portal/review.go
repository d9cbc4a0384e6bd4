package portal

import (
	"net/http"

	"portcullis/core/jit"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/second"
	"portcullis/handlers/portal/show"
)

// reviewOf notes in a view of a break-glass what somebody has written of it, or that it is owed, and whether the caller may write it now.
func (s *server) reviewOf(c call, v *show.Grant, g jit.Grant) error {
	if g.BreakGlass == jit.NoBreakGlass {
		return nil
	}
	review, known, err := s.App.Access.ReviewOf(c.Context(), g)
	if err != nil || !known {
		return err
	}
	v.Review = show.Review{Known: true, Owed: review.Owed(), Text: review.Text, By: review.Reviewer, At: review.At}
	if v.Review.Owed {
		_, _, err = s.App.Access.PreviewReview(c.Context(), c.who, g.ID, "what happened") // of any text: the caller has written none yet
		v.Review.May, err = second.Allowed(err)
	}
	return err
}

// review writes what happened after a break-glass, by somebody else: POST /api/portal/requests/{id}/review.
func (s *server) review(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	text := c.PostForm.Get("review")
	_, _, err = s.App.Access.Review(c.Context(), c.who, rec.Grant.ID, text)
	if refused := jit.Refused(err); refused != nil && refused.Target == "review" {
		status, told := s.told(c, err)
		wrong := form.Wrongs{}
		wrong.Put("review", told)
		return s.show(w, c, status, rec, wrong, text)
	}
	if err != nil {
		return err
	}
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}
