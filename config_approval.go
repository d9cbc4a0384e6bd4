package main

import (
	"fmt"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// approvalSettings returns the settings of requests that wait: for people to approve them, or for their start.
func approvalSettings() []setting {
	return []setting{
		{"PORTCULLIS_APPROVERS", optional, "how many distinct people must approve every request before it is opened, whatever the policies ask for: 0 (default) to 5", readApprovers},
		{"PORTCULLIS_APPROVAL_WAIT", optional, "for how long a request waits for approval, such as PT30M, from PT5M to P1D; PT1H where it is empty. An approval by app role counts no longer", readWait},
		{"PORTCULLIS_MAX_START_AHEAD", optional, "how far ahead a request may begin (startTimeUtc), such as P7D, from PT0S, for at once alone, to P31D; P14D where it is empty", readAhead},
	}
}

func readApprovers(c *config, v string) error {
	if err := count(&c.Floor.Approvers, v, 0); err != nil {
		return err
	}
	if c.Floor.Approvers > jit.MaxApprovers {
		return fmt.Errorf("%q is not a number from 0 to %d", v, jit.MaxApprovers)
	}
	return nil
}

// minWait is the shortest wait: nobody approves in less.
const minWait = 5 * time.Minute

func readWait(c *config, v string) error {
	if c.Wait = jit.DefaultWait; v == "" {
		return nil
	}
	var err error
	if c.Wait, err = wire.ParseDuration(v, ""); err != nil || c.Wait < minWait || c.Wait > jit.MaxWait {
		return fmt.Errorf("%q is not a length from PT5M to P1D", v)
	}
	return nil
}

func readAhead(c *config, v string) error {
	switch v {
	case "":
		c.Ahead = decide.DefaultAhead
		return nil
	case "PT0S":
		c.Ahead = 0
		return nil
	}
	var err error
	if c.Ahead, err = wire.ParseDuration(v, ""); err != nil || c.Ahead > decide.MaxAhead {
		return fmt.Errorf("%q is not a length from PT0S to P31D", v)
	}
	return nil
}
