package portal

import (
	"context"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// replacing is the caller's own windows whose place a request would take although they end later. The page opens nothing before
// the caller has agreed to each of them.
type replacing struct {
	Windows []string // such as "port 22 of web, until 24 Nov 2026, 00:00:00 UTC"
	Field   string   // the ids of their requests, as they are sent by who agrees
	Agreed  bool     // the caller was asked about each of the windows, and has said yes
}

// replacing looks what a request would take the place of; agreed is what the caller has sent to that. Where that cannot be told, nothing is asked: the request itself
// says what is wrong, and logs it.
func (s *server) replacing(ctx context.Context, c call, asked jit.Request, agreed string) replacing {
	rec, _, err := s.App.Access.Preview(ctx, c.who, asked)
	if err != nil {
		return replacing{Agreed: true}
	}
	var out replacing
	var ids []string
	for _, r := range rec.Replaced() {
		out.Windows = append(out.Windows, words.Replaced(r))
		if !slices.Contains(ids, r.Grant) {
			ids = append(ids, r.Grant)
		}
	}
	said := strings.Fields(agreed)
	out.Field = strings.Join(ids, " ")
	out.Agreed = !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(said, id) })
	return out
}
