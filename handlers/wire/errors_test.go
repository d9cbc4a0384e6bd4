package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"portcullis/core/store"
	"portcullis/handlers/wire"
)

// TestAnswerOfLostRaces holds that a service which answers, but always after others had written, is not told as one that is away.
func TestAnswerOfLostRaces(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		away bool
	}{
		{"does not answer", &store.Unavailable{Dependency: "Table Storage", Err: errors.New("no answer")}, true},
		{"others were first each time", store.ChangedByOthers(store.GrantRecord{}, store.ErrConflict), false},
		{"the same, wrapped", fmt.Errorf("sweep: %w", &store.Unavailable{Dependency: "Azure Resource Manager", Err: fmt.Errorf("write: %w", store.ErrConflict)}), false},
	} {
		status, detail := wire.Answer(tc.err)
		if away := strings.Contains(detail.Message, "cannot be reached"); status != 503 || away != tc.away || strings.Contains(detail.Message, "by others first") == tc.away {
			t.Errorf("%s: %d %+v", tc.name, status, detail)
		}
	}
}
