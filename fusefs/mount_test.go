package fusefs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kivaloo/fusefs"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/kvtest"
)

// The mounts of these tests are served by child processes: a process must not
// touch its own mount. The child is this test binary, told by an environment
// variable; the test asks it over its standard input and output for what only
// the other side of the store can see or do.
const childEnv = "FUSEFS_TEST_CHILD"

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		os.Exit(runChild(config))
	}
	os.Exit(m.Run())
}

// A mountConfig is what a test wants of its mount.
type mountConfig struct {
	MountPoint string
	Durability fusefs.Durability
	Interval   time.Duration
	ReadOnly   bool
	AllowOther bool
	UID, GID   uint32
	Unsaved    int64
}

// A mount is a mounted store and the line to the process that serves it.
type mount struct {
	t     *testing.T
	dir   string
	child *rpc.Client
	cmd   *exec.Cmd
	// killed: the test has ended the server itself.
	killed bool
}

// newMount mounts an empty store. Whatever happens, the mount ends with the test.
func newMount(t *testing.T, configure ...func(*mountConfig)) *mount {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		skipMount(t, err.Error())
	}
	config := mountConfig{MountPoint: t.TempDir()}
	for _, c := range configure {
		c(&config)
	}
	must(t, os.MkdirAll(config.MountPoint, 0o755))
	encoded, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	m := &mount{t: t, dir: config.MountPoint, cmd: exec.Command(os.Args[0])}
	m.cmd.Env = append(os.Environ(), childEnv+"="+string(encoded), "GORACE=atexit_sleep_ms=0")
	log := &bytes.Buffer{}
	m.cmd.Stderr = log
	in, err1 := m.cmd.StdinPipe()
	out, err2 := m.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, m.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	m.child = rpc.NewClient(pipe{out, in})
	t.Cleanup(func() { m.end(log) })
	m.call("Ready", 0)
	return m
}

// skipMount skips a test in the words that .ci/run counts: it fails where there is
// a /dev/fuse.
func skipMount(t *testing.T, why string) { t.Skip("SKIPPED-MOUNT "+t.Name()+":", why) }

// end takes the mount away, and with it its server.
func (m *mount) end(log *bytes.Buffer) {
	if m.killed {
		return
	}
	killer := time.AfterFunc(10*time.Second, func() { m.cmd.Process.Kill() })
	defer killer.Stop()
	m.child.Call("Child.Unmount", 0, new(int))
	m.child.Close()
	if err := unix.Unmount(m.dir, unix.MNT_DETACH); err == nil {
		m.t.Error("the mount was still there after unmounting")
		m.cmd.Process.Kill()
	}
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("server: %v", err)
	}
	if log.Len() > 0 && (m.t.Failed() || testing.Verbose()) {
		m.t.Logf("server's log:\n%s", log)
	}
}

// kill ends the server as a crash would.
func (m *mount) kill() {
	m.killed = true
	m.cmd.Process.Kill()
	m.cmd.Wait()
	m.child.Close()
}

func (m *mount) path(name string) string { return filepath.Join(m.dir, name) }

// call asks the child.
func (m *mount) call(method string, arg any) (reply Reply) {
	m.t.Helper()
	if err := m.child.Call("Child."+method, arg, &reply); err != nil {
		m.t.Fatalf("%s: %v", method, err)
	}
	return reply
}

func (m *mount) set(key, value string) {
	m.t.Helper()
	m.call("Commit", kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte(key), Value: []byte(value)}}})
}

func (m *mount) get(key string) (string, bool) {
	m.t.Helper()
	r := m.call("Get", key)
	return string(r.Value), r.Found
}

func (m *mount) wantValue(key, want string) {
	m.t.Helper()
	if got, found := m.get(key); !found || got != want {
		m.t.Errorf("key %q: %q, found %v; want %q", key, got, found, want)
	}
}

// waitValue waits for what is committed in the background.
func (m *mount) waitValue(key, want string) {
	m.t.Helper()
	for range 200 {
		if got, found := m.get(key); found && got == want {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	m.wantValue(key, want)
}

func (m *mount) wantNoKey(key string) {
	m.t.Helper()
	if got, found := m.get(key); found {
		m.t.Errorf("key %q is there: %q", key, got)
	}
}

// commits is how many transactions the mount has committed so far.
func (m *mount) commits() int { return m.call("Commits", 0).Count }

// sh runs a shell script in the mount.
func (m *mount) sh(script string, args ...string) string {
	m.t.Helper()
	cmd := exec.Command("bash", append([]string{"-euc", script, "sh"}, args...)...)
	cmd.Dir = m.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func (m *mount) wantFile(name, want string) {
	m.t.Helper()
	got, err := os.ReadFile(m.path(name))
	if err != nil || string(got) != want {
		m.t.Errorf("%s: %q, %v; want %q", name, clip(string(got)), err, clip(want))
	}
}

func (m *mount) names(dir string) string {
	m.t.Helper()
	entries, err := os.ReadDir(m.path(dir))
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (m *mount) stat(name string) unix.Stat_t {
	m.t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(m.path(name), &st); err != nil {
		m.t.Fatalf("stat %s: %v", name, err)
	}
	return st
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErrno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

type pipe struct {
	io.ReadCloser
	w io.WriteCloser
}

func (p pipe) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p pipe) Close() error                { return errors.Join(p.w.Close(), p.ReadCloser.Close()) }

// openStore makes the store of a child.
var openStore = func() (kv.Store, error) { return kvtest.NewModel(nil), nil }

// runChild serves a mount until it is unmounted.
func runChild(encoded string) int {
	var config mountConfig
	if err := json.Unmarshal([]byte(encoded), &config); err != nil {
		return 1
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store, err := openStore()
	if err != nil {
		log.Error("open store", "error", err)
		return 1
	}
	child := &Child{store: store, counted: &countingStore{Store: store}}
	server, err := fusefs.Mount(fusefs.Options{
		Store: child.counted, MountPoint: config.MountPoint, Durability: config.Durability,
		CommitInterval: config.Interval, ReadOnly: config.ReadOnly,
		AllowOther: config.AllowOther, UnsavedBytes: config.Unsaved,
		UID: config.UID, GID: config.GID, DirectMount: os.Geteuid() == 0, Logger: log,
	})
	if err != nil {
		log.Error("mount", "error", err)
		return 1
	}
	child.server = server
	rpcServer := rpc.NewServer()
	if err := rpcServer.Register(child); err != nil {
		return 1
	}
	// When the test is gone, so is the pipe, and the mount must not stay.
	rpcServer.ServeConn(pipe{os.Stdin, os.Stdout})
	unix.Unmount(config.MountPoint, unix.MNT_DETACH)
	server.Wait()
	if err := store.Close(); err != nil {
		return 1
	}
	return 0
}

// Child is what a test can ask of the process that serves its mount.
type Child struct {
	store   kv.Store
	counted *countingStore
	server  *fusefs.Server
}

// A Reply is an answer of the child.
type Reply struct {
	Found bool
	Value []byte
	Count int
	Meta  []byte
	Keys  []string
}

func (c *Child) Ready(_ int, _ *Reply) error { return nil }

func (c *Child) Unmount(_ int, _ *int) error { return c.server.Unmount() }

func (c *Child) Commits(_ int, r *Reply) error {
	r.Count = int(c.counted.commits.Load())
	return nil
}

func (c *Child) Nodes(_ int, r *Reply) error {
	r.Count = c.server.NodeCount()
	return nil
}

// Commit is what a native client does.
func (c *Child) Commit(txn kv.Txn, _ *Reply) error {
	_, err := c.store.Commit(context.Background(), &txn)
	return err
}

func (c *Child) Get(key string, r *Reply) error {
	pair, err := c.store.Get(context.Background(), kv.GetRequest{Key: []byte(key), Want: kv.WantAll})
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	r.Found, r.Value, r.Meta = err == nil, pair.Value, pair.Meta
	return err
}

func (c *Child) Keys(prefix string, r *Reply) error {
	for pair, err := range kv.All(context.Background(), c.store, kv.ScanRequest{
		Start: []byte(prefix), End: kv.PrefixEnd([]byte(prefix)),
	}) {
		if err != nil {
			return err
		}
		r.Keys = append(r.Keys, string(pair.Key))
	}
	return nil
}

func (c *Child) SetCapacity(bytes int64, _ *Reply) error {
	model, ok := c.store.(*kvtest.Model)
	if !ok {
		return errors.New("only the model has a capacity that can be set")
	}
	model.SetCapacity(bytes)
	return nil
}

// Fail makes the mount's next commits fail as on a broken disk, or lets them
// pass again.
func (c *Child) Fail(fail bool, _ *Reply) error {
	c.counted.fail.Store(fail)
	return nil
}

// RefuseMoves makes the rename of a directory more than a transaction carries.
func (c *Child) RefuseMoves(refuse bool, _ *Reply) error {
	c.counted.tooLarge.Store(refuse)
	return nil
}

// Delay makes each commit of the mount take a while.
func (c *Child) Delay(d time.Duration, _ *Reply) error {
	c.counted.delay.Store(int64(d))
	return nil
}

// countingStore counts the transactions that the mount commits, and makes them
// fail or last.
type countingStore struct {
	kv.Store
	commits atomic.Int64
	fail    atomic.Bool
	delay   atomic.Int64
	// tooLarge: the move of a prefix is more than a transaction carries.
	tooLarge atomic.Bool
}

func (s *countingStore) Session(ctx context.Context) (kv.Session, error) {
	session, err := s.Store.Session(ctx)
	return &countingSession{Session: session, store: s}, err
}

type countingSession struct {
	kv.Session
	store *countingStore
}

func (s *countingSession) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	s.store.commits.Add(1)
	time.Sleep(time.Duration(s.store.delay.Load()))
	if s.store.fail.Load() {
		return kv.Result{}, kv.ErrFailed
	}
	for i := range txn.Effects {
		if txn.Effects[i].Op == kv.MovePrefix && s.store.tooLarge.Load() {
			return kv.Result{}, kv.ErrTooLarge
		}
	}
	return s.Session.Commit(ctx, txn)
}
