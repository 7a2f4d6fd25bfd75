package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Only a parent learns a process's exit code, and the server in the background has
// none by then. So a server says how it ended in a file in memory, which whoever
// waits for it has opened before: a disk that is full or broken, of which there may
// be just that to say, cannot keep it from that.
const endingName = "kivaloo-ending"

// An ending is a server's end of that file.
type ending struct{ file *os.File }

func newEnding() (*ending, error) {
	fd, err := unix.MemfdCreate(endingName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("a file in memory: %w", err)
	}
	return &ending{os.NewFile(uintptr(fd), endingName)}, nil
}

// tell says how the server ends. It is its last word.
func (e *ending) tell(err error) {
	if e == nil {
		return
	}
	report := startReport{Code: codeOf(err)}
	if err != nil {
		report.Text = err.Error()
	}
	json.NewEncoder(e.file).Encode(report)
	e.file.Close()
}

// A process is one that can be waited for without being its parent.
type process struct {
	pid    int
	fd     int      // -1: there is none
	ending *os.File // how it ended, once it has; nil if we may not know
}

// serverOf finds the process that serves a store, if there is one: its pid lies in
// the store, and counts only while somebody has the store locked.
func serverOf(dir string) (*process, error) {
	none := &process{fd: -1}
	if !locked(dir) {
		return none, nil
	}
	pid, err := pidIn(dir)
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return none, nil
	}
	return &process{pid, fd, endingOf(pid)}, nil
}

// pidIn reads the pid of a store's server. Where that is not possible, on a disk
// that is broken or had no room for it, it finds the server by what it has open.
// 0: there is none.
func pidIn(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, pidName))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		return pid, nil
	}
	if pid := holderOf(dir); pid != 0 || errors.Is(err, os.ErrNotExist) {
		return pid, nil
	}
	return 0, err
}

// holderOf finds the server that has a store's directory open.
func holderOf(dir string) int {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || !uses(proc, dir) {
			continue
		}
		if file := endingOf(pid); file != nil {
			file.Close()
			return pid
		}
	}
	return 0
}

func endingOf(pid int) *os.File {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(target, "/memfd:"+endingName) {
			continue
		}
		if file, err := os.Open(link); err == nil {
			return file
		}
	}
	return nil
}

func locked(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// wait returns when the process has ended.
func (p *process) wait() error {
	if p.fd < 0 {
		return nil
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// outcome is the error that a server ended with. One that ended without a word was
// killed, or has crashed.
func (p *process) outcome() error {
	if p.fd < 0 {
		return nil
	}
	if p.ending == nil {
		return fmt.Errorf("cannot tell how the server (pid %d) ended; its log may say it", p.pid)
	}
	var report startReport
	if err := json.NewDecoder(p.ending).Decode(&report); err != nil {
		return fmt.Errorf("the server (pid %d) ended before its last commit; its log may say why", p.pid)
	}
	if report.Code != exitDone {
		return &childError{report.Code, "the server did not end well: " + report.Text}
	}
	return nil
}

func (p *process) Close() {
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
	if p.ending != nil {
		p.ending.Close()
	}
}
