package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Go program cannot fork, so the background server is this program started
// again with the same arguments. backgroundVar tells it so, and which descriptor
// to say on how its start went.
const backgroundVar = "KIVALOO_BACKGROUND_FD"

// A startReport is what the server in the background says once, as JSON, before
// it closes the pipe.
type startReport struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

// isBackground says whether this process is the server in the background.
func (e *env) isBackground() bool { return e.getenv(backgroundVar) != "" }

// startBackground starts the server and returns when it is ready, or has failed:
// then with its words and its exit code.
func startBackground(args []string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	// Not for the server: whoever reads what a shell has put there, a pipe perhaps,
	// would wait for it for ever.
	if err := closeOnExec(); err != nil {
		return err
	}
	cmd := exec.Command(program, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), backgroundVar+"=3")
	cmd.ExtraFiles = []*os.File{write}
	// A session of its own: the terminal's signals are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close() // only the server's end is left: if it dies, we see the end
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	return awaitReport(cmd, read)
}

// closeOnExec keeps the descriptors that were inherited from the server.
func closeOnExec() error {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > unix.Stderr {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

func awaitReport(cmd *exec.Cmd, read io.Reader) error {
	// An interrupt here is meant for the server that is starting.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	defer signal.Stop(signals)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-signals:
			cmd.Process.Signal(unix.SIGTERM)
		case <-ended:
		}
	}()
	var report startReport
	if err := json.NewDecoder(read).Decode(&report); err != nil {
		return fmt.Errorf("the server ended before it was ready: %w", cmd.Wait())
	}
	if report.Code != exitDone {
		cmd.Wait()
		return &childError{report.Code, report.Text}
	}
	return cmd.Process.Release()
}

// A reporter tells whoever waits that the server is ready, or why it is not.
type reporter struct {
	pipe *os.File  // nil in the foreground
	out  io.Writer // in the foreground
}

// newReporter takes the pipe that was inherited, if there is one.
func newReporter(e *env) (*reporter, error) {
	if !e.isBackground() {
		return &reporter{out: e.stderr}, nil
	}
	fd, err := strconv.Atoi(e.getenv(backgroundVar))
	if err != nil {
		return nil, usagef("%s is for this program's own use", backgroundVar)
	}
	unix.CloseOnExec(fd) // fusermount must not keep it open
	os.Unsetenv(backgroundVar)
	return &reporter{pipe: os.NewFile(uintptr(fd), "ready")}, nil
}

// ready says that the server is ready, in the foreground to whoever looks.
func (r *reporter) ready(text string) {
	if r.pipe == nil {
		fmt.Fprintln(r.out, "kivaloo: "+text)
		return
	}
	r.report(startReport{Code: exitDone})
}

// failed says why the server ends, if nothing was said before. The error goes on
// to main, which has nobody to tell it to in the background.
func (r *reporter) failed(err error) {
	if r.pipe != nil && err != nil {
		r.report(startReport{codeOf(err), err.Error()})
	}
}

func (r *reporter) report(report startReport) {
	json.NewEncoder(r.pipe).Encode(report)
	r.pipe.Close()
	r.pipe, r.out = nil, io.Discard
}
