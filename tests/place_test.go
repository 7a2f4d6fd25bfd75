package tests

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// commandMax bounds one run of the program: nothing here takes long.
	commandMax = 60 * time.Second
	// testMax bounds one test that has a mount. A server that hangs would hang the
	// test in the kernel, beyond the reach of go test's own timeout: it is made to
	// print its stacks to its log, and killed, and everybody gets ENOTCONN.
	testMax = 150 * time.Second
)

// A result is how a command ended.
type result struct {
	code     int
	out, err string
}

// kivaloo runs the program and returns how it ended.
func kivaloo(t testing.TB, args ...string) result {
	t.Helper()
	return kivalooIn(t, "", nil, args...)
}

// kivalooIn runs the program with standard input and additional environment.
func kivalooIn(t testing.TB, stdin string, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = base
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kivaloo %q: %v", args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("kivaloo %q took more than %v; stderr: %s", args, commandMax, errs.Bytes())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// expect checks exit code and words of a command.
func (r result) expect(t testing.TB, code int, words ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d; stdout %q, stderr %q", r.code, code, clip(r.out), clip(r.err))
	}
	for _, word := range words {
		if !strings.Contains(strings.ToLower(r.err), strings.ToLower(word)) {
			t.Errorf("stderr %q does not mention %q", clip(r.err), word)
		}
	}
	return r
}

func clip(s string) string {
	if len(s) > 2000 {
		return s[:2000] + "..."
	}
	return s
}

// A place is a store, its mount point and its socket, in a folder of their own.
type place struct {
	t    testing.TB
	home string
	dir  string // the store
	mnt  string
	sock string

	watchdog *time.Timer
}

// newPlace makes the folder, and sees to it that nothing of it outlives the test.
func newPlace(t testing.TB) *place {
	t.Helper()
	home, err := os.MkdirTemp(base, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, home: home, dir: home + "/store", mnt: home + "/mnt", sock: home + "/store/kivaloo.sock"}
	p.watchdog = time.AfterFunc(lifetime(), p.breakOff)
	t.Cleanup(func() {
		p.watchdog.Stop()
		p.clean()
	})
	return p
}

// on is the place for a subtest, which must not fail for its parent.
func (p *place) on(t testing.TB) *place {
	q := *p
	q.t = t
	return &q
}

// newMount is a place with an empty store, mounted.
func newMount(t testing.TB, flags ...string) *place {
	t.Helper()
	needMount(t)
	p := newPlace(t)
	p.mount(flags...)
	return p
}

func (p *place) mount(flags ...string) {
	p.t.Helper()
	kivaloo(p.t, append([]string{"mount", p.dir, p.mnt}, flags...)...).expect(p.t, 0)
}

func (p *place) umount() {
	p.t.Helper()
	kivaloo(p.t, "umount", p.mnt).expect(p.t, 0)
	if isMounted(p.mnt) {
		p.t.Fatal("still mounted after umount returned 0")
	}
	if pids := p.servers(); len(pids) > 0 {
		p.t.Fatalf("server %v still runs after umount returned 0", pids)
	}
}

func (p *place) serve(flags ...string) {
	p.t.Helper()
	kivaloo(p.t, append([]string{"serve", p.dir}, flags...)...).expect(p.t, 0)
}

// stop ends the server with a signal and waits.
func (p *place) stop(sig syscall.Signal) {
	p.t.Helper()
	for _, pid := range p.servers() {
		syscall.Kill(pid, sig)
		if !eventually(20*time.Second, func() bool { return isGone(pid) }) {
			p.t.Fatalf("server %d still runs 20 seconds after %v", pid, sig)
		}
	}
}

// crash kills the server as a power cut would.
func (p *place) crash() {
	for _, pid := range p.servers() {
		kill(pid)
	}
}

func (p *place) servers() []int { return serversOf(p.dir) }

// native runs a command that talks to the socket.
func (p *place) native(args ...string) result {
	p.t.Helper()
	return kivaloo(p.t, append([]string{args[0], "-s", p.sock}, args[1:]...)...)
}

// get is the value that the socket has for a key.
func (p *place) get(key string) string {
	p.t.Helper()
	return p.native("get", key).expect(p.t, 0).out
}

func (p *place) set(key, value string) {
	p.t.Helper()
	p.native("set", "--", key, value).expect(p.t, 0)
}

// path is the path of a key on the mount.
func (p *place) path(key string) string { return filepath.Join(p.mnt, key) }

func (p *place) read(key string) string {
	p.t.Helper()
	b, err := os.ReadFile(p.path(key))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *place) write(key, value string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(key), []byte(value), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// lifetime is testMax, and what flags ask for beyond it.
func lifetime() time.Duration {
	if *wholeTree {
		return 10 * testMax
	}
	return testMax + *loadFor
}

// extendLife gives a test that works in rounds its lifetime for each of them.
func (p *place) extendLife() { p.watchdog.Reset(lifetime()) }

// breakOff ends a test that hangs.
func (p *place) breakOff() {
	for _, pid := range p.servers() {
		syscall.Kill(pid, syscall.SIGQUIT) // a Go program prints its stacks
		time.Sleep(time.Second)
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, point := range mountsBelow(p.home) {
		detach(point)
	}
	p.t.Errorf("the test took more than %v and was broken off", lifetime())
}

// clean leaves nothing: it asks first, and then does not.
func (p *place) clean() {
	if p.t.Failed() {
		p.logServer()
	}
	if isMounted(p.mnt) {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		exec.CommandContext(ctx, program, "umount", p.mnt).Run()
		cancel()
	}
	p.crash()
	for _, point := range mountsBelow(p.home) {
		if err := detach(point); err != nil {
			p.t.Error(err)
		}
	}
	if err := os.RemoveAll(p.home); err != nil {
		p.t.Error(err)
	}
}

// log is what the server has written to its log.
func (p *place) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "kivaloo.log"))
	return string(b)
}

func (p *place) logServer() {
	text := p.log()
	p.t.Logf("the server's log ends with:\n%s", text[max(0, len(text)-4000):])
}

// shell runs a command line in a folder and returns its output.
func shell(t testing.TB, dir, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*commandMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-ec", "set -o pipefail; "+line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, clip(out.String()), clip(errs.String()))
	}
	return out.String()
}
