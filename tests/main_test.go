// Package tests tests the whole program from outside: the built binary, real
// mounts, real sockets, real kills. It imports nothing of the project, so that a
// mistake in a package is not repeated in its test. DESIGN.md says what each test
// proves.
//
// Everything lives below one temporary folder, which TestMain makes and checks at
// the end: no mount and no process of ours may be left.
package tests

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var (
	kills     = flag.Int("kills", 15, "how often a copy is killed")
	flips     = flag.Int("flips", 24, "how many bits are flipped, one at a time")
	loadFor   = flag.Duration("load", 3*time.Second, "how long tests keep a store under load")
	seedFlag  = flag.Uint64("seed", 0, "seed of random choices; 0: another one each time")
	wholeTree = flag.Bool("wholetree", false, "copy all of the Go distribution's src, not only two folders")
)

var (
	// base is the folder of this run. Short, since socket paths have 107 bytes.
	base string
	// program is the built binary, in base.
	program string
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		leftBehind()
		os.RemoveAll(base)
		os.Exit(130)
	}()
	os.Exit(run(m))
}

// prepare makes the folder of the run, and the program in it.
func prepare() error {
	dir, err := os.MkdirTemp("", "kvt")
	if err != nil {
		return err
	}
	if base, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	program = filepath.Join(base, "kivaloo")
	if err := build(program); err != nil {
		os.RemoveAll(base)
		return err
	}
	return nil
}

// run runs the tests and sees to it that they leave nothing.
func run(m *testing.M) int {
	code := m.Run()
	if left := leftBehind(); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left behind by the tests:", left)
		code = 1
	}
	if err := os.RemoveAll(base); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// build makes the program that everything here tests.
func build(to string) error {
	cmd := exec.Command("go", "build", "-o", to, "./cmd/kivaloo")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// leftBehind names mounts and processes of ours that still exist, and ends them.
func leftBehind() []string {
	var left []string
	for _, pid := range serversOf("") {
		left = append(left, fmt.Sprintf("process %d", pid))
		kill(pid)
	}
	for _, point := range mountsBelow(base) {
		left = append(left, "mount "+point)
		detach(point)
	}
	return left
}
