package settings

import (
	"strings"
	"time"

	"github.com/sosodev/duration"

	"portcullis/cmd/portcullis/exit"
)

// Length reads how long something takes: 30m, 1h30m, or PT30M as the API has it. It is at least a second.
func Length(text string) (time.Duration, error) {
	var d time.Duration
	var err error
	if strings.HasPrefix(strings.ToUpper(text), "P") {
		var iso *duration.Duration
		if iso, err = duration.Parse(strings.ToUpper(text)); err == nil {
			d = iso.ToTimeDuration()
		}
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d < time.Second {
		return 0, exit.Usagef("%q is not a length of time of at least a second, such as 30m, 1h30m or PT30M", text)
	}
	return d, nil
}

// ISO writes a length as the API takes it.
func ISO(d time.Duration) string { return duration.Format(d) }
