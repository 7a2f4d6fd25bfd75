package tests

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A random run says its seed, so that it can be had again (as far as the kernel's
// scheduling allows).
func random(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A ledger knows what each file may contain after a crash: what was acknowledged
// last, and whatever was under way when the server died.
type ledger struct {
	mu    sync.Mutex
	files map[string]*entry
}

type entry struct {
	acked   string // "" and not exists: absent
	exists  bool
	pending []string
	// removing: an unlink was under way.
	removing bool
}

func newLedger() *ledger { return &ledger{files: map[string]*entry{}} }

func (l *ledger) begin(name, content string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files[name] == nil {
		l.files[name] = &entry{}
	}
	l.files[name].pending = append(l.files[name].pending, content)
}

func (l *ledger) acknowledge(name, content string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.files[name] = entry{acked: content, exists: true}
}

func (l *ledger) beginRemove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files[name].removing = true
}

func (l *ledger) acknowledgeRemove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.files[name] = entry{}
}

// judge compares what a file is now with what it may be, and takes it for
// acknowledged from now on: it has survived.
func (l *ledger) judge(name, content string, exists bool) error {
	e := l.files[name]
	if e == nil {
		return fmt.Errorf("%s was never made", name)
	}
	asAcked := exists == e.exists && content == e.acked
	asPending := exists && slices.Contains(e.pending, content)
	asRemoved := !exists && e.removing
	if !asAcked && !asPending && !asRemoved {
		return fmt.Errorf("%s has %s; acknowledged was %s, under way were %d others",
			name, shape(content, exists), shape(e.acked, e.exists), len(e.pending))
	}
	*e = entry{acked: content, exists: exists}
	return nil
}

func shape(content string, exists bool) string {
	if !exists {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes (%q...)", len(content), content[:min(len(content), 20)])
}

// A copier copies real files one by one, as cp does, over and over, and now and
// then deletes one.
type copier struct {
	p       *place
	dir     string // on the mount
	sources []string
	rng     *rand.Rand
	ledger  *ledger
	acked   int
}

// run copies until the server is gone.
func (c *copier) run() {
	for {
		name := fmt.Sprintf("%s/%03d", c.dir, c.rng.IntN(200))
		if err := c.step(name); err != nil {
			return
		}
		c.acked++
	}
}

func (c *copier) step(name string) error {
	c.ledger.mu.Lock()
	e := c.ledger.files[name]
	remove := e != nil && e.exists && c.rng.IntN(8) == 0
	c.ledger.mu.Unlock()
	if remove {
		c.ledger.beginRemove(name)
		if err := os.Remove(c.p.path(name)); err != nil {
			return err
		}
		c.ledger.acknowledgeRemove(name)
		return nil
	}
	// A line of its own makes each copy differ from the one before.
	content := fmt.Sprintf("%s %d\n%s", name, c.rng.Uint64(), c.sources[c.rng.IntN(len(c.sources))])
	c.ledger.begin(name, content)
	if err := os.WriteFile(c.p.path(name), []byte(content), 0o644); err != nil {
		return err
	}
	c.ledger.acknowledge(name, content)
	return nil
}

// sourceTexts reads real files of all sizes up to some hundred kilobytes.
func sourceTexts(t testing.TB) []string {
	var texts []string
	files, err := filepath.Glob("/etc/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			texts = append(texts, string(text))
		}
	}
	return append(texts, "", strings.Repeat("0123456789abcdef", 1<<14))
}

// TestKillInTheMiddleOfACopy kills the server again and again while files are
// copied, deleted and a directory is renamed. After each restart, by the same
// command, every copy that had returned is whole, no file is half, nothing else is
// there, and the directory has one name with all its files.
func TestKillInTheMiddleOfACopy(t *testing.T) {
	const copiers = 3
	p := newMount(t)
	rng := random(t)
	sources := sourceTexts(t)
	l := newLedger()
	for i := range copiers {
		shell(t, p.mnt, fmt.Sprintf("mkdir dir%d", i))
	}
	makeMovable(t, p)
	acked := 0
	for range *kills {
		p.extendLife()
		acked += killDuringCopies(p, rng, sources, l, copiers)
		start := time.Now()
		p.mount()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("mounting again took %v", took)
		}
		checkLedger(t, p, l)
		checkMovable(t, p)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills; %d operations had been acknowledged", *kills, acked)
	if acked < *kills {
		t.Errorf("only %d operations in %d rounds: the test proves little", acked, *kills)
	}
}

// killDuringCopies returns how many operations were acknowledged.
func killDuringCopies(p *place, rng *rand.Rand, sources []string, l *ledger, copiers int) int {
	var running sync.WaitGroup
	all := make([]*copier, copiers)
	for i := range all {
		all[i] = &copier{p: p, dir: fmt.Sprintf("dir%d", i), sources: sources, ledger: l,
			rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
		running.Go(all[i].run)
	}
	running.Go(func() { moveToAndFro(p) })
	time.Sleep(time.Duration(20+rng.IntN(400)) * time.Millisecond)
	p.crash()
	running.Wait()
	acked := 0
	for _, c := range all {
		acked += c.acked
	}
	return acked
}

// checkLedger looks at every file there is and every file there should be.
func checkLedger(t *testing.T, p *place, l *ledger) {
	t.Helper()
	found := map[string]string{}
	dirs, _ := filepath.Glob(p.path("dir*"))
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Base(dir) + "/" + e.Name()
			found[name] = p.read(name)
		}
	}
	for name := range found {
		if l.files[name] == nil {
			t.Errorf("%s was never made", name)
		}
	}
	for name := range l.files {
		content, exists := found[name]
		if err := l.judge(name, content, exists); err != nil {
			t.Error(err)
		}
	}
}

const movableFiles = 30

func makeMovable(t *testing.T, p *place) {
	shell(t, p.mnt, fmt.Sprintf("mkdir -p here/sub; for i in $(seq %d); do echo $i > here/sub/$i; done", movableFiles))
}

// moveToAndFro renames a directory until the server is gone.
func moveToAndFro(p *place) {
	for {
		errHere := os.Rename(p.path("here"), p.path("there"))
		errThere := os.Rename(p.path("there"), p.path("here"))
		if errThere != nil && !(errHere == nil || errors.Is(errHere, fs.ErrNotExist)) {
			return
		}
	}
}

// checkMovable: a rename is all or nothing.
func checkMovable(t *testing.T, p *place) {
	t.Helper()
	names, err := filepath.Glob(p.path("*here"))
	if err != nil || len(names) != 1 {
		t.Fatalf("the renamed directory has the names %q (%v), want one", names, err)
	}
	entries, err := os.ReadDir(names[0] + "/sub")
	if err != nil || len(entries) != movableFiles {
		t.Errorf("%s has %d files (%v), want %d", names[0], len(entries), err, movableFiles)
	}
	for _, e := range entries {
		if b, err := os.ReadFile(names[0] + "/sub/" + e.Name()); err != nil || string(b) != e.Name()+"\n" {
			t.Errorf("%s contains %q (%v)", e.Name(), b, err)
		}
	}
}

// TestKillDuringNativeWrites: what the socket has acknowledged survives kill -9,
// with thousands of requests in flight.
func TestKillDuringNativeWrites(t *testing.T) {
	p := newPlace(t)
	rng := random(t)
	acked := map[string]bool{}
	for round := range max(3, *kills/3) {
		p.serve()
		c := dial(t, p.sock)
		for key := range acked {
			if got, ok, err := c.get(key); err != nil || !ok || got != key {
				t.Fatalf("%s is %q, %v, %v after restart", key, got, ok, err)
			}
		}
		time.AfterFunc(time.Duration(20+rng.IntN(200))*time.Millisecond, p.crash)
		writeUntilKilled(c, round, acked)
		if !eventually(10*time.Second, func() bool { return len(p.servers()) == 0 }) {
			t.Fatal("the server lives")
		}
	}
	t.Logf("%d keys acknowledged", len(acked))
}

// writeUntilKilled pipelines SETs and notes which were answered.
func writeUntilKilled(c *v1, round int, acked map[string]bool) {
	key := func(id uint64) string { return fmt.Sprintf("round%d-%d", round, id) }
	go func() {
		for id := uint64(0); id < 20000; id++ {
			if _, err := c.conn.Write(packet(id, request(reqSet, key(id), key(id)))); err != nil {
				return
			}
		}
	}()
	for {
		id, _, _, err := readPacket(c.in)
		if err != nil {
			return
		}
		acked[key(id)] = true
	}
}
