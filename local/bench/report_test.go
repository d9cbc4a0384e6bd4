package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// report is the page that make bench writes.
type report struct{ b strings.Builder }

func (r *report) text(format string, args ...any) { fmt.Fprintf(&r.b, format+"\n\n", args...) }

// table writes rows of cells under their columns. Cells that are numbers stand to the right.
func (r *report) table(columns []string, rows [][]string) {
	all := append([][]string{columns}, rows...)
	wide := make([]int, len(columns))
	for _, row := range all {
		for i, cell := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string, fill string) {
		for i := range columns {
			cell := ""
			if i < len(cells) {
				cell = cells[i]
			}
			fmt.Fprintf(&r.b, "|%s%s%s%s", fill, cell, strings.Repeat(fill, wide[i]-utf8.RuneCountInString(cell)), fill)
		}
		r.b.WriteString("|\n")
	}
	line(columns, " ")
	line(nil, "-")
	for _, row := range rows {
		line(row, " ")
	}
	r.b.WriteString("\n")
}

// seconds is a duration as people read it.
func seconds(d time.Duration) string {
	switch {
	case d >= 3*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	case d >= 10*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d >= 100*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// ratio is how many times the bound something took.
func ratio(d, bound time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(bound)) }

// percentile returns the smallest of the durations that p of them do not exceed.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	i := int(float64(len(sorted))*p+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// thousands separates the thousands of a number.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
