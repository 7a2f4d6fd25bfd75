package socket

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want Addr
	}{
		{"/run/store.sock", Addr{"unix", "/run/store.sock"}},
		{"store.sock", Addr{"unix", cwd + "/store.sock"}},
		{"@store", Addr{"unix", cwd + "/@store"}},
		{"./a:1", Addr{"unix", cwd + "/a:1"}},
		{"localhost:80", Addr{"tcp", "localhost:80"}},
		{"[::1]:80", Addr{"tcp", "[::1]:80"}},
		{"", Addr{}},
		{"a\x00b", Addr{}},
		{"::1:80", Addr{}},
		{"localhost:", Addr{}},
	} {
		got, err := Parse(c.text)
		if got != c.want || (err != nil) != (c.want == Addr{}) {
			t.Errorf("Parse(%q) = %v, %v", c.text, got, err)
		}
	}
}

// accept serves connections by closing them, until the listener ends.
func accept(t *testing.T, l net.Listener) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := Listen(addr, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l)
	return l
}

func TestSocketIsPrivateAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 200), strings.Repeat("e", 200))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "store.sock")
	l := listen(t, path)
	conn, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := Listen(path, ListenOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second listener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestDeadSocketIsReplacedAndLivingOneIsNot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	listen(t, path)
	if _, err := Listen(path, ListenOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second listener: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestFileThatIsNoSocketStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, ListenOptions{}); !errors.Is(err, ErrAddress) {
		t.Errorf("Listen: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file holds %q", text)
	}
}

func TestManyStartAtOnceOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	var mu sync.Mutex
	var won []net.Listener
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if l, err := Listen(path, ListenOptions{}); err == nil {
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, l := range won {
		accept(t, l)
	}
	if len(won) != 1 {
		t.Errorf("%d of 8 listen on one path", len(won))
	}
}

func TestTCPStaysOnThisHost(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		if l, err := Listen(addr, ListenOptions{}); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("Listen(%q) = %v, %v", addr, l, err)
		}
	}
	l := listen(t, "127.0.0.1:0")
	conn, err := Dial(context.Background(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := Listen(l.Addr().String(), ListenOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second listener: %v", err)
	}
}

// strangerVar holds the path that the test binary, started as another user,
// connects to.
const strangerVar = "SOCKET_TEST_STRANGER"

func TestMain(m *testing.M) {
	if path := os.Getenv(strangerVar); path != "" {
		conn, err := Dial(context.Background(), path)
		if err != nil {
			os.Exit(1)
		}
		conn.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPeerOfAnotherUserIsFound(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	dir := filepath.Join("/tmp", filepath.Base(t.TempDir())+t.Name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := copySelf(t, dir)
	path := filepath.Join(dir, "s")
	l, err := Listen(path, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// The mode alone keeps strangers out; here it is opened to see the second line.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]error{0: nil, 65534: ErrPeer} {
		cmd := exec.Command(binary)
		cmd.Env = []string{strangerVar + "=" + path}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckPeer(conn); !errors.Is(err, want) {
			t.Errorf("uid %d: %v", uid, err)
		}
		conn.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
}

func copySelf(t *testing.T, dir string) string {
	t.Helper()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "test")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
