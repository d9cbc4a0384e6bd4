package main

import (
	"fmt"
	"strconv"
	"strings"
)

// flag parses on or off. Anything else is an error and never the default, so that a security team learns of a
// misspelt value at the start.
func flag(to *bool, value string, unset bool) error {
	switch value {
	case "on", "off":
		*to = value == "on"
	case "":
		*to = unset
	default:
		return fmt.Errorf("%q is neither on nor off", value)
	}
	return nil
}

// count parses a number that is not negative.
func count(to *int, value string, unset int) error {
	*to = unset
	if value == "" {
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 1_000_000 || value != strconv.Itoa(n) {
		return fmt.Errorf("%q is not a number from 0 to 1000000", value)
	}
	*to = n
	return nil
}

// prefixLength parses a prefix length, written only as /24 is.
func prefixLength(to *int, value string, most int) error {
	if value == "" {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(value, "/"))
	if err != nil || n < 1 || n > most || value != fmt.Sprintf("/%d", n) {
		return fmt.Errorf("%q is not the length of a prefix from /1 to /%d", value, most)
	}
	*to = n
	return nil
}
