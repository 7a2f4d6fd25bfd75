package kvstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
)

func link(from, to string) *kv.Txn {
	return &kv.Txn{Effects: []kv.Effect{{Op: kv.Link, Key: []byte(from), To: []byte(to)}}}
}

// openCold opens a store with pairs in many pages, none of which is in memory, and
// answers how many pages have been read since it was last asked.
func openCold(t *testing.T, d *crashdisk.Disk) (db *DB, reads func() uint64) {
	t.Helper()
	db, err := Open(ctx, Options{Dir: "store", FS: d, Create: true, PageBytes: 512})
	if err != nil {
		t.Fatal(err)
	}
	last := db.Stats().Reads
	return db, func() uint64 {
		n := db.Stats().Reads - last
		last += n
		return n
	}
}

func coldKey(i int) string { return fmt.Sprintf("%c/%04d", 'a'+i/1000, i) }

// coldDisk holds a store of 3000 pairs, all in pages.
func coldDisk(t *testing.T) *crashdisk.Disk {
	t.Helper()
	d := crashdisk.New(1)
	db, _ := openCold(t, d)
	txn := &kv.Txn{}
	for i := range 3000 {
		txn.Effects = append(txn.Effects, put(coldKey(i), []byte("value")).Effects...)
	}
	commit(t, db, txn)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPutReadsNothingWithoutLinks: puts, deletions and deletions of prefixes look
// nothing up, until the store has a link, and no more once it has none again.
func TestPutReadsNothingWithoutLinks(t *testing.T) {
	d := coldDisk(t)
	next := 0
	change := func(db *DB) {
		for range 100 {
			commit(t, db, put(coldKey(next), []byte("new")))
			commit(t, db, remove(coldKey(next+1)))
			next += 10
		}
		commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("b/15")}}})
	}
	db, reads := openCold(t, d)
	change(db)
	if n := reads(); n != 0 {
		t.Errorf("without links %d pages were read", n)
	}
	commit(t, db, link(coldKey(5), "c/link"))
	reads()
	change(db)
	if n := reads(); n < 50 {
		t.Errorf("with a link only %d pages were read: the test proves nothing", n)
	}
	commit(t, db, remove("c/link"))
	db.Close()
	db, reads = openCold(t, d)
	defer db.Kill()
	if db.linked() {
		t.Error("the link has gone, and is looked for")
	}
	change(db)
	if n := reads(); n != 0 {
		t.Errorf("after the last link has gone %d pages were read", n)
	}
}

// linked says, between batches, whether the writer looks links up.
func (db *DB) linked() (linked bool) {
	db.queue.control(func(w *writer) { linked = w.linked() })
	return linked
}

// TestLinksAreKnownInEachLayer: a link is found wherever it is: in the delta that
// fills, in the one that is merged, in pages, and in a log that is replayed.
func TestLinksAreKnownInEachLayer(t *testing.T) {
	d := crashdisk.New(1)
	db, _ := openCold(t, d)
	commit(t, db, put("k", []byte("v")))
	checkpoint(t, db)
	commit(t, db, link("k", "l"))
	know := func(where string) {
		t.Helper()
		if !db.linked() {
			t.Errorf("the link is not known %s", where)
		}
	}
	know("in the active delta")
	db.Kill()
	d = d.Crash()
	db, _ = openCold(t, d)
	know("after a replay")
	db.checkpoint.running.Lock()
	if err := db.checkpoint.begin(); err != nil {
		t.Fatal(err)
	}
	know("in the frozen delta")
	db.checkpoint.running.Unlock()
	checkpoint(t, db)
	know("in pages")
	db.Close()
	db, _ = openCold(t, d)
	defer db.Kill()
	know("after a clean stop")
	commit(t, db, put("l", []byte("w")))
	if v, _ := get(t, db, "k"); v != "w" {
		t.Errorf("k is %q after a put of its other name", v)
	}
	fsck(t, db)
}

// TestOneNameLeftIsAPlainPair: nothing in the system tells that it ever had two.
func TestOneNameLeftIsAPlainPair(t *testing.T) {
	for name, undo := range map[string]*kv.Txn{
		"delete": remove("a/l"), "the first is deleted": remove("k"),
		"delete prefix": {Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("a/")}}},
		"fresh put":     {Effects: []kv.Effect{{Op: kv.Put, Fresh: true, Key: []byte("a/l")}}},
		"move over it":  {Effects: []kv.Effect{{Op: kv.Move, Key: []byte("k"), To: []byte("a/l")}}},
	} {
		for _, between := range []bool{false, true} {
			for _, value := range [][]byte{[]byte("inline"), make([]byte, 3000)} {
				db, _ := openMemory(t, Options{})
				commit(t, db, put("k", value))
				commit(t, db, link("k", "a/l"))
				if between {
					checkpoint(t, db)
				}
				commit(t, db, undo)
				fsck(t, db)
				chunks := int64(len(value) / 3000)
				if r := &db.checkpoint.root; r.Links != 0 || r.SystemPairs != chunks {
					t.Errorf("%s, checkpoint between: %v: %d links, %d pairs of the system, want %d", name, between, r.Links, r.SystemPairs, chunks)
				}
				db.Kill()
			}
		}
	}
}

// TestAllNamesGoneAtOnce: a prefix that holds all names of a value takes the value
// along, and its chunks, in whatever layer they are.
func TestAllNamesGoneAtOnce(t *testing.T) {
	for _, between := range []bool{false, true} {
		db, _ := openMemory(t, Options{})
		commit(t, db, put("a/k", make([]byte, 3000)))
		commit(t, db, link("a/k", "a/l"))
		commit(t, db, put("b/k", make([]byte, 3000)))
		commit(t, db, link("b/k", "a/m"))
		if between {
			checkpoint(t, db)
		}
		commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("a/")}}})
		fsck(t, db)
		if r := &db.checkpoint.root; r.UserPairs != 1 || r.SystemPairs != 1 {
			t.Errorf("checkpoint between: %v: %d pairs of users, %d of the system, want b/k and its chunk", between, r.UserPairs, r.SystemPairs)
		}
		db.Kill()
	}
}

// TestUnlinkingOnAFullDisk: to take one of two names writes the whole pair under
// the other. On a full disk that still goes on until nothing is left, name by name.
// A prefix of many would take the reserve that the checkpoint needs: it is refused.
func TestUnlinkingOnAFullDisk(t *testing.T) {
	db, d := openMemory(t, Options{})
	defer db.Kill()
	d.SetBytes(12 << 20)
	n, meta := 0, make([]byte, kv.MetaBytesMax)
	for ; ; n++ {
		txn := put(fillKey("a", n), make([]byte, kv.InlineBytesMax))
		txn.Effects[0].SetMeta, txn.Effects[0].Meta = true, meta
		txn.Effects = append(txn.Effects, link(fillKey("a", n), fillKey("b", n)).Effects...)
		if _, err := db.Commit(ctx, txn); errors.Is(err, kv.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for i := range 5 {
		prefix := kv.Effect{Op: kv.DeletePrefix, Key: []byte(fillKey("a", i+1))}
		switch _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{prefix}}); {
		case errors.Is(err, kv.ErrNoSpace):
			refused++
		case err != nil: // and nil where a checkpoint has just made room
			t.Errorf("deleting the prefix %s: %v", prefix.Key, err)
		}
	}
	if refused == 0 {
		t.Error("no prefix was refused")
	}
	for _, name := range []string{"a", "b"} {
		for i := range n {
			if _, err := db.Commit(ctx, remove(fillKey(name, i))); err != nil {
				t.Fatalf("deleting %s%d of %d: %v", name, i, n, err)
			}
		}
	}
	checkpoint(t, db)
	if m := fill(t, db, "again"); m < n {
		t.Errorf("%d pairs fit after %d were deleted", m, n)
	}
	d.SetBytes(1 << 40)
	fsck(t, db)
}

// TestPinOfAName: a pin that comes while the link is being flushed is of the value,
// as any other.
func TestPinOfAName(t *testing.T) {
	db, g := openGated(t, Options{})
	defer db.Kill()
	commit(t, db, put("k", []byte("v")))
	commit(t, db, link("k", "l"))
	p, _ := db.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
	s, _ := db.Session(ctx)
	defer s.Close()
	g.delay.Store(int64(30 * time.Millisecond))
	done := make(chan error, 1)
	db.CommitAsync(put("l", []byte("w")), func(_ kv.Result, err error) { done <- err })
	time.Sleep(10 * time.Millisecond)
	if err := s.Pin(ctx, []byte("l"), p.Birth); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	commit(t, db, &kv.Txn{Effects: append(remove("l").Effects, remove("k").Effects...)})
	o, err := db.Get(ctx, kv.GetRequest{Space: kv.Orphan, Key: kv.OrphanKey(p.Birth), Want: kv.WantAll})
	if err != nil || string(o.Value) != "w" {
		t.Errorf("the orphan is %q, %v", o.Value, err)
	}
}

// TestDamagedCountLeavesNothingDone: an effect that finds out in its middle that a
// body cannot be right, even a lone one, has done nothing.
func TestDamagedCountLeavesNothingDone(t *testing.T) {
	for _, txn := range []*kv.Txn{
		remove("k"),
		{Effects: []kv.Effect{{Op: kv.Put, Fresh: true, Key: []byte("k")}}},
		{Effects: []kv.Effect{{Op: kv.Move, Key: []byte("x"), To: []byte("k")}}},
	} {
		db, _ := openMemory(t, Options{})
		for _, setup := range []*kv.Txn{put("x", nil), put("k", []byte("v")), link("k", "l"), link("k", "m")} {
			commit(t, db, setup)
		}
		p, _ := db.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
		emitting(t, db, func(w *writer, s uint64) {
			value := item.AppendNames([]byte("v"), 2)
			w.emit(&item.Op{Kind: item.OpPut, Key: appendBodyKey(nil, uint64(p.Birth)), Version: s, Value: value})
		})
		if _, err := db.Commit(ctx, txn); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("%v, want it corrupt", err)
		}
		commit(t, db, put("y", nil)) // takes along what the batch still had
		want := map[string]string{"k": "v", "l": "v", "m": "v", "x": "", "y": ""}
		compare(t, readPairs(t, db), want)
		if names := namesOf(t, db, uint64(p.Birth)); names != 3 {
			t.Errorf("%d names are left", names)
		}
		db.Kill()
	}
}

// namesOf counts the names that lead to a body.
func namesOf(t *testing.T, db *DB, birth uint64) (n int) {
	t.Helper()
	emitting(t, db, func(w *writer, _ uint64) {
		names, err := w.names(birth)
		if err != nil {
			t.Error(err)
		}
		n = len(names)
	})
	return n
}

// TestDeletePrefixWalksTheShorterWay: with a few links in the store a large prefix
// costs no more than these, and with many links a small prefix costs itself.
func TestDeletePrefixWalksTheShorterWay(t *testing.T) {
	db, reads := openCold(t, coldDisk(t))
	defer db.Kill()
	commit(t, db, link("b/1500", "c/link"))
	reads()
	commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("a/")}}})
	if n := reads(); n > 6 {
		t.Errorf("%d pages were read to delete a prefix of 1000 pairs beside one link", n)
	}
	for i := range 400 {
		commit(t, db, link("b/1500", fmt.Sprint("d/", i)))
	}
	checkpoint(t, db)
	reads()
	commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("c/201")}}})
	if n := reads(); n > 8 {
		t.Errorf("%d pages were read to delete a prefix of 10 pairs beside 400 links", n)
	}
	commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("d/")}}})
	if p, err := db.Get(ctx, kv.GetRequest{Key: []byte("c/link"), Want: kv.WantAll}); err != nil || p.Names != 2 {
		t.Errorf("%d names are left, %v", p.Names, err)
	}
	fsck(t, db)
}

// emitting runs operations in the writer, as a transaction of nobody's.
func emitting(t *testing.T, db *DB, emit func(w *writer, s uint64)) {
	t.Helper()
	_, err := db.commit(&request{internal: func(w *writer) error { emit(w, w.db.clock.draw(1)); return nil }})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesMax: one more is refused.
func TestNamesMax(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	commit(t, db, put("k", []byte("v")))
	commit(t, db, link("k", "l"))
	p, _ := db.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
	for names, want := range map[uint32]error{kv.NamesMax - 1: nil, kv.NamesMax: kv.ErrTooLarge} {
		emitting(t, db, func(w *writer, s uint64) {
			value := item.AppendNames([]byte("v"), names)
			w.emit(&item.Op{Kind: item.OpPut, Key: appendBodyKey(nil, uint64(p.Birth)), Version: s, Value: value})
		})
		if _, err := db.Commit(ctx, link("k", fmt.Sprint("m", names))); !errors.Is(err, want) {
			t.Errorf("a link to a value of %d names: %v, want %v", names, err, want)
		}
	}
}

// TestLinkToNothingIsCorrupt: names whose body is lost are reported, by whatever
// they are asked for, and nothing else is.
func TestLinkToNothingIsCorrupt(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	commit(t, db, put("a/k", []byte("v")))
	commit(t, db, put("b", []byte("w")))
	commit(t, db, link("a/k", "a/l"))
	p, _ := db.Get(ctx, kv.GetRequest{Key: []byte("a/k"), Want: kv.WantAll})
	emitting(t, db, func(w *writer, s uint64) {
		w.emit(&item.Op{Kind: item.OpDelete, Key: appendBodyKey(nil, uint64(p.Birth)), Version: s})
	})
	_, err := db.Get(ctx, kv.GetRequest{Key: []byte("a/k")})
	_, errScan := db.Scan(ctx, kv.ScanRequest{})
	_, errPut := db.Commit(ctx, put("a/l", nil))
	_, errPrefix := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("a/")}}})
	for _, err := range []error{err, errScan, errPut, errPrefix} {
		if !errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint("body ", p.Birth)) {
			t.Errorf("%v, want it corrupt and the body named", err)
		}
	}
	if v, ok := get(t, db, "b"); !ok || v != "w" {
		t.Errorf("b is %q, %v", v, ok)
	}
}

// TestKeysOfLinks: the keys of the system keyspace are a format.
func TestKeysOfLinks(t *testing.T) {
	const birth = 0x0102030405060708
	for want, got := range map[string][]byte{
		"\x01B\x01\x02\x03\x04\x05\x06\x07\x08":    appendBodyKey(nil, birth),
		"\x01N\x01\x02\x03\x04\x05\x06\x07\x08a/b": appendNameKey(nil, birth, []byte("\x00a/b")),
		"\x01N\x01\x02\x03\x04\x05\x06\x07\x08":    appendNameKey(nil, birth, userKey),
	} {
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if b, name := nameOf(appendNameKey(nil, birth, []byte("\x00a/b"))); b != birth || string(name) != "\x00a/b" {
		t.Errorf("name %q of body %x", name, b)
	}
}
