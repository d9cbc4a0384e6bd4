package functions

import (
	"fmt"
	"regexp"
	"strings"
)

// fieldForm is what a field may be: any value, a step, or a list of numbers and ranges.
var fieldForm = regexp.MustCompile(`^(\*(/[1-9]\d?)?|\d{1,2}(-\d{1,2})?(,\d{1,2}(-\d{1,2})?)*)$`)

// CheckSchedule refuses what the host (NCRONTAB, six fields with seconds first) and readers who know cron may
// understand differently. The host swaps the ends of a range, so that 22-2 means 2 to 22 and FRI-MON means Monday
// to Friday; it knows no Sunday 7; a day of the month together with a day of the week must both match; and a time
// span such as 26:00:00 counts days.
func CheckSchedule(text string) error {
	fields := strings.Split(text, " ")
	if len(fields) != 6 {
		return fmt.Errorf("schedule %q has %d fields, want 6 with the seconds first", text, len(fields))
	}
	for _, field := range fields {
		if !fieldForm.MatchString(field) {
			return fmt.Errorf("schedule %q: %q is not of the forms *, */n, n, n-m and lists of these, which everybody reads alike", text, field)
		}
		for part := range strings.SplitSeq(field, ",") {
			var from, to int
			if n, _ := fmt.Sscanf(part, "%d-%d", &from, &to); n == 2 && from > to {
				return fmt.Errorf("schedule %q: the host reads the range %s the other way round", text, part)
			}
		}
	}
	if strings.Contains(fields[5], "7") {
		return fmt.Errorf("schedule %q: Sunday is 0", text)
	}
	if fields[3] != "*" && fields[5] != "*" {
		return fmt.Errorf("schedule %q names days of the month and of the week: to the host a day has to be both", text)
	}
	return nil
}
