package main

import (
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// approvalSettings returns the settings of requests that people have to approve.
func approvalSettings() []setting {
	return []setting{
		{"PORTCULLIS_APPROVERS", optional, "how many distinct people must approve every request before it is opened, whatever the policies ask for: 0 (default) to 5", readApprovers},
		{"PORTCULLIS_APPROVAL_WAIT", optional, "for how long a request waits for approval, such as PT30M, from PT5M to P1D; PT1H where it is empty. An approval by app role counts no longer", readWait},
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
