package tablesim_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// obey makes the disk full or free for this process, as the parent asks: no file can grow beyond what the database has. It
// returns when the parent is gone.
func obey(in io.Reader, dir string) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		limit := syscall.Rlimit{Cur: ^uint64(0), Max: ^uint64(0)}
		if lines.Text() == "full" {
			info, err := os.Stat(filepath.Join(dir, "tables.db"))
			if err != nil {
				return
			}
			limit.Cur = uint64(info.Size())
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return
		}
		fmt.Println(lines.Text())
	}
}
