package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNativeBesideMount goes through the ways one side can change what the other
// has just looked at, and looks again at once.
func TestNativeBesideMount(t *testing.T) {
	p := newMount(t)
	t.Run("set, then cat, ls and stat", func(t *testing.T) { setThenLook(t, p.on(t)) })
	t.Run("write, then get and range", func(t *testing.T) { writeThenGet(t, p.on(t)) })
	t.Run("a name looked up in vain, then set", func(t *testing.T) { missThenSet(t, p.on(t)) })
	t.Run("deleted under an open file", func(t *testing.T) { deleteUnderOpen(t, p.on(t)) })
	t.Run("directories come and go", func(t *testing.T) { directoriesComeAndGo(t, p.on(t)) })
	t.Run("append after a native change of size", func(t *testing.T) { appendAfterSet(t, p.on(t)) })
	t.Run("values of all sizes", func(t *testing.T) { manySizes(t, p.on(t)) })
}

func setThenLook(t *testing.T, p *place) {
	for i := range 20 {
		value := fmt.Sprintf("%0*d", 1+i*5, i)
		p.set("look/file", value)
		if got := shell(t, p.mnt, "cat look/file"); got != value {
			t.Fatalf("cat shows %q after set %q was answered", got, value)
		}
		if got := shell(t, p.mnt, "stat -c %s look/file; ls look"); got != fmt.Sprintf("%d\nfile\n", len(value)) {
			t.Fatalf("stat and ls show %q, want the size %d", got, len(value))
		}
	}
}

func writeThenGet(t *testing.T, p *place) {
	for i := range 20 {
		value := fmt.Sprint("value ", i)
		shell(t, p.mnt, fmt.Sprintf("echo -n '%s' > written", value))
		if got := p.get("written"); got != value {
			t.Fatalf("get answers %q after close returned for %q", got, value)
		}
		if got := p.native("range", "written", "writteo").expect(t, 0).out; got != "written\t"+value+"\n" {
			t.Fatalf("range answers %q", got)
		}
	}
}

func missThenSet(t *testing.T, p *place) {
	for i := range 20 {
		name := fmt.Sprintf("missing/%d", i)
		if _, err := os.Stat(p.path(name)); !os.IsNotExist(err) {
			t.Fatalf("stat: %v", err)
		}
		p.set(name, "now")
		if got := p.read(name); got != "now" {
			t.Fatalf("%s is %q", name, got)
		}
		p.native("del", name).expect(t, 0)
		if _, err := os.Stat(p.path(name)); !os.IsNotExist(err) {
			t.Fatalf("stat after del was answered: %v", err)
		}
	}
}

// deleteUnderOpen: a file that is open stays readable to who has it open, as on
// any filesystem.
func deleteUnderOpen(t *testing.T, p *place) {
	p.write("open", "contents")
	f, err := os.Open(p.path("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.native("del", "open").expect(t, 0)
	b := make([]byte, 20)
	if n, _ := f.ReadAt(b, 0); string(b[:n]) != "contents" {
		t.Errorf("the open file has %q", b[:n])
	}
	if _, err := os.Stat(p.path("open")); !os.IsNotExist(err) {
		t.Errorf("the name is still there: %v", err)
	}
	p.native("get", "open").expect(t, 5)
}

func directoriesComeAndGo(t *testing.T, p *place) {
	p.set("deep/er/est", "x")
	if got := shell(t, p.mnt, "find deep | sort"); got != "deep\ndeep/er\ndeep/er/est\n" {
		t.Errorf("find shows %q", got)
	}
	p.native("del", "deep/er/est").expect(t, 0)
	if _, err := os.Stat(p.path("deep")); !os.IsNotExist(err) {
		t.Errorf("a directory without keys or marker is still there: %v", err)
	}
	shell(t, p.mnt, "mkdir made")
	p.native("get", "made/").expect(t, 0)
	p.native("del", "made/").expect(t, 0)
	if _, err := os.Stat(p.path("made")); !os.IsNotExist(err) {
		t.Errorf("a directory whose marker was deleted is still there: %v", err)
	}
}

// appendAfterSet: the kernel may know an old size when it appends.
func appendAfterSet(t *testing.T, p *place) {
	p.write("log", "12\n")
	shell(t, p.mnt, "stat log")
	p.set("log", "1234567890\n")
	shell(t, p.mnt, "echo XY >> log")
	if got := p.get("log"); got != "1234567890\nXY\n" {
		t.Errorf("the file is %q after an append", got)
	}
}

// manySizes: a file keeps no byte of a longer or shorter life.
func manySizes(t *testing.T, p *place) {
	rng := random(t)
	for range 50 {
		value := strings.Repeat("v", rng.IntN(256))
		if rng.IntN(2) == 0 {
			p.set("size", value)
		} else {
			p.write("size", value)
		}
		if got := p.read("size"); got != value {
			t.Fatalf("the mount shows %d bytes, want %d", len(got), len(value))
		}
		if got := p.get("size"); got != value {
			t.Fatalf("the socket answers %d bytes, want %d", len(got), len(value))
		}
	}
}

// A side is one way to the store: the mount, or the socket.
type side interface {
	name() string
	read(key string) (string, error)
	write(key, value string) error
}

type mountSide struct{ p *place }

func (m mountSide) name() string { return "mount" }

func (m mountSide) read(key string) (string, error) {
	b, err := os.ReadFile(m.p.path(key))
	return string(b), err
}

func (m mountSide) write(key, value string) error {
	return os.WriteFile(m.p.path(key), []byte(value), 0o644)
}

type socketSide struct{ c *v1 }

func (s socketSide) name() string { return "socket" }

func (s socketSide) read(key string) (string, error) {
	value, ok, err := s.c.get(key)
	if err == nil && !ok {
		err = os.ErrNotExist
	}
	return value, err
}

func (s socketSide) write(key, value string) error { return s.c.set(key, value) }

// TestReadYourWritesUnderLoad: many pairs of goroutines, each with a key of its
// own, write on one side and read on the other at once.
func TestReadYourWritesUnderLoad(t *testing.T) {
	p := newMount(t)
	shell(t, p.mnt, "mkdir d{0..7}")
	end := time.Now().Add(*loadFor)
	var all sync.WaitGroup
	var done atomic.Int64
	for worker := range 8 {
		here, there := side(mountSide{p}), side(socketSide{dial(t, p.sock)})
		if worker%2 == 1 {
			here, there = there, here
		}
		all.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				key := fmt.Sprintf("d%d/key%d", worker, i%5)
				value := fmt.Sprintf("%d-%d", worker, i)
				if err := writeAndSee(here, there, key, value); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("%d writes, each read on the other side", done.Load())
}

func writeAndSee(here, there side, key, value string) error {
	if err := here.write(key, value); err != nil {
		return fmt.Errorf("write %s on the %s: %w", key, here.name(), err)
	}
	for _, s := range []side{there, here} {
		got, err := s.read(key)
		if err != nil || got != value {
			return fmt.Errorf("%s: the %s shows %q (%v) after the write of %q on the %s was answered",
				key, s.name(), got, err, value, here.name())
		}
	}
	return nil
}

// A contested key is written by several sides at once. Each value names its writer
// and counts up, so that a reader can tell an older value from a newer one. Through
// the mount it has one writer only: of two, one could truncate what the other has
// written and not yet closed, as on any filesystem.
type contested struct {
	key   string
	acked [4]atomic.Int64 // by writer: the last count that was answered
}

// TestOneKeyFromAllSides: mount and socket write the same keys at the same time. A
// read that starts after a write was answered never shows an older value of that
// writer, and no reader goes back in time.
func TestOneKeyFromAllSides(t *testing.T) {
	p := newMount(t)
	shell(t, p.mnt, "mkdir d")
	keys := []*contested{{key: "a"}, {key: "d/b"}}
	end := time.Now().Add(*loadFor)
	var all sync.WaitGroup
	for i := range len(keys[0].acked) {
		s := side(mountSide{p})
		if i%2 == 1 {
			s = socketSide{dial(t, p.sock)}
		}
		rng := rand.New(rand.NewPCG(uint64(i), 0))
		all.Go(func() { contest(t, s, i, keys, rng, end) })
	}
	for i := range 4 {
		s := side(mountSide{p})
		if i%2 == 1 {
			s = socketSide{dial(t, p.sock)}
		}
		all.Go(func() { watchContest(t, s, keys, end) })
	}
	all.Wait()
}

func contest(t *testing.T, s side, writer int, keys []*contested, rng *rand.Rand, end time.Time) {
	for count := int64(1); time.Now().Before(end) && !t.Failed(); count++ {
		k := keys[rng.IntN(len(keys))]
		if s.name() == "mount" {
			k = keys[writer/2%len(keys)]
		}
		if err := s.write(k.key, fmt.Sprintf("%d %08d", writer, count)); err != nil {
			t.Errorf("writer %d on the %s: %v", writer, s.name(), err)
			return
		}
		k.acked[writer].Store(count)
	}
}

func watchContest(t *testing.T, s side, keys []*contested, end time.Time) {
	var seen [2][4]int64
	for i := 0; time.Now().Before(end) && !t.Failed(); i++ {
		n := i % len(keys)
		k := keys[n]
		var before [4]int64
		for w := range before {
			before[w] = max(k.acked[w].Load(), seen[n][w])
		}
		value, err := s.read(k.key)
		if os.IsNotExist(err) && before == [4]int64{} || err == nil && value == "" && s.name() == "mount" {
			continue // not yet there; or between O_TRUNC and write of another process
		}
		var writer int
		var count int64
		if _, scanErr := fmt.Sscanf(value, "%d %d", &writer, &count); err != nil || scanErr != nil {
			t.Errorf("the %s shows %q (%v)", s.name(), value, err)
			return
		}
		if count < before[writer] {
			t.Errorf("%s: the %s shows %q after writer %d's %d", k.key, s.name(), value, writer, before[writer])
			return
		}
		seen[n][writer] = count
	}
}
