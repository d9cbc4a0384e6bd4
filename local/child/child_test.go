//go:build unix

package child_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/local/child"
)

// TestMain is also the processes of the tests: a parent that starts a child, which starts one more.
func TestMain(m *testing.M) {
	mode := os.Getenv("CHILD_TEST")
	if mode == "" {
		os.Exit(m.Run())
	}
	if next := map[string]string{"parent": "child", "child": "grandchild"}[mode]; next != "" {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CHILD_TEST="+next)
		cmd.Stdout = os.Stdout
		start := func(cmd *exec.Cmd) (func(), error) { return nil, cmd.Start() }
		if mode == "parent" {
			start = child.Start
		}
		if _, err := start(cmd); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP) // which is ignored where the tests themselves are to outlive a terminal
	fmt.Println(mode)
	select {
	case <-hangUp:
		os.Exit(1)
	case <-time.After(time.Minute):
		os.Exit(livedOn)
	}
}

// livedOn is the exit code of a process that nothing has ended.
const livedOn = 3

// TestEndsWithAParentThatIsKilled: the output that all three write to ends when the last of them has.
func TestEndsWithAParentThatIsKilled(t *testing.T) {
	for name, kill := range map[string]func(pid int) error{
		"the parent":     func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) },
		"and its group":  func(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) },
		"by a hang-up":   func(pid int) error { return syscall.Kill(-pid, syscall.SIGHUP) },
		"by its Ctrl+\\": func(pid int) error { return syscall.Kill(-pid, syscall.SIGQUIT) },
	} {
		t.Run(name, func(t *testing.T) {
			parent := exec.CommandContext(t.Context(), os.Args[0])
			parent.Env = append(os.Environ(), "CHILD_TEST=parent")
			parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			parent.Stdout = in
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			in.Close()
			lines, said := bufio.NewReader(out), ""
			for range 3 {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("after %q: %v", said, err)
				}
				said += line
			}
			for _, who := range []string{"parent", "child", "grandchild"} {
				if !strings.Contains("\n"+said, "\n"+who+"\n") {
					t.Fatalf("they said %q", said)
				}
			}
			if err := kill(parent.Process.Pid); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait()
			if code := parent.ProcessState.ExitCode(); code == livedOn {
				t.Error("the parent was not ended")
			}
			if err := out.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
				t.Errorf("somebody lives on: %q, %v", rest, err)
			}
		})
	}
}

// TestReleased: once a child has ended by itself, nothing is left that would kill another in its place.
func TestReleased(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "exit 7")
	release, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	release()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	if _, err := child.Start(exec.CommandContext(t.Context(), "/nonexistent")); err == nil {
		t.Error("a program that does not exist has started")
	}
}
