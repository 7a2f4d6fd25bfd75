package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
)

// TestFullDisk fills stores on disks of many sizes, with links among the pairs. What does not fit is refused,
// all that was acknowledged stays readable, deleting goes on until nothing is left,
// nobody spins, and once there is room again, by deleting or because the disk has
// grown, writing goes on without a restart.
func TestFullDisk(t *testing.T) {
	seed := testSeed(t)
	rng := rand.New(rand.NewSource(int64(seed)))
	for i, room := 0, 4200<<10; i < 6; i, room = i+1, room+1<<20+rng.Intn(1<<20) {
		newFull(t, rng, int64(room)).run(i)
	}
}

// A full is a store on a disk with a budget, and what it must hold.
type full struct {
	t     *testing.T
	rng   *rand.Rand
	below *crashdisk.Disk
	disk  *faultdisk.Disk
	db    *DB
	want  book
}

func newFull(t *testing.T, rng *rand.Rand, room int64) *full {
	f := &full{t: t, rng: rng, below: crashdisk.New(1), want: newBook()}
	f.disk = faultdisk.New(f.below)
	f.disk.SetRoom(room)
	f.open()
	return f
}

func (f *full) open() {
	db, err := Open(ctx, Options{Dir: "store", FS: f.disk, Create: true, CacheBytes: 1 << 20})
	if err != nil {
		f.t.Fatalf("open: %v", err)
	}
	f.db = db
}

func (f *full) commit(e kv.Effect) error {
	_, err := f.db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}})
	return err
}

func (f *full) run(way int) {
	defer watchdog(f.t, "a full disk")()
	f.fill()
	f.idle()
	switch way % 4 {
	case 0:
		f.disk.SetRoom(8 << 20)
	case 1:
		f.deletePrefix()
	case 2:
		f.restart()
		fallthrough
	default:
		f.deleteAll()
	}
	f.writesAgain()
	f.close()
}

// fill writes until the store says that it is full, more than once.
func (f *full) fill() {
	for refused := 0; refused < 20; {
		key := fmt.Sprintf("%c/%05d", 'a'+f.rng.Intn(3), f.rng.Intn(100000))
		value := bytes.Repeat([]byte{byte(len(f.want.number))}, f.rng.Intn(2000))
		if f.rng.Intn(10) == 0 {
			value = bytes.Repeat([]byte("blob"), 5000)
		}
		effect, after := kv.Effect{Op: kv.Put, Key: []byte(key), Value: value}, func() { f.want.put(key, string(value)) }
		if from := f.someKey(); f.rng.Intn(4) == 0 && f.want.number[key] == 0 && from != "" {
			effect = kv.Effect{Op: kv.Link, Key: []byte(from), To: []byte(key)}
			after = func() { f.want.number[key] = f.want.number[from] }
		}
		switch err := f.commit(effect); {
		case err == nil:
			after()
		case errors.Is(err, kv.ErrNoSpace):
			refused++
		default:
			f.t.Fatalf("put: %v", err)
		}
	}
	f.check()
}

// someKey is one that has a pair, if any has.
func (f *full) someKey() string {
	for key := range f.want.number {
		return key
	}
	return ""
}

func (f *full) check() {
	f.t.Helper()
	compare(f.t, readPairs(f.t, f.db), f.want.pairs())
}

// idle: on a full disk a checkpoint may be tried again, but not over and over.
func (f *full) idle() {
	time.Sleep(20 * time.Millisecond)
	before := f.disk.Count(faultdisk.Any)
	time.Sleep(50 * time.Millisecond)
	if n := f.disk.Count(faultdisk.Any) - before; n > 2000 {
		f.t.Errorf("%d disk calls while nobody asked for anything", n)
	}
}

// deleteAll deletes the pairs one by one, in no order.
func (f *full) deleteAll() {
	n := 0
	for key := range f.want.number {
		f.delete(key)
		delete(f.want.number, key)
		if n++; n == 100 {
			f.check()
		}
	}
	f.check()
}

func (f *full) delete(key string) {
	if err := f.commit(kv.Effect{Op: kv.Delete, Key: []byte(key)}); err != nil {
		f.t.Fatalf("deleting a pair, %d are left: %v", len(f.want.number), err)
	}
}

func (f *full) deletePrefix() {
	for _, prefix := range []string{"a/", "b/"} {
		err := f.commit(kv.Effect{Op: kv.DeletePrefix, Key: []byte(prefix)})
		if err != nil && !errors.Is(err, kv.ErrNoSpace) {
			f.t.Fatalf("deleting %s: %v", prefix, err)
		}
		for key := range f.want.number {
			if key[:2] == prefix {
				if err != nil { // too many links to be deleted at once on a full disk
					f.delete(key)
				}
				delete(f.want.number, key)
			}
		}
	}
	f.check()
}

// restart: the process dies, and finds the disk as full as it was.
func (f *full) restart() {
	f.db.Kill()
	f.open()
	f.check()
}

// writesAgain waits until there is room: what was deleted is given back by the
// next checkpoints.
func (f *full) writesAgain() {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := f.commit(kv.Effect{Op: kv.Put, Key: []byte("again"), Value: make([]byte, 5000)})
		if err == nil {
			break
		}
		if !errors.Is(err, kv.ErrNoSpace) || time.Since(began) > 10*time.Second {
			f.t.Fatalf("put after room was made: %v", err)
		}
	}
	f.want.put("again", string(make([]byte, 5000)))
	f.check()
}

func (f *full) close() {
	if err := f.db.Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
	f.disk = faultdisk.New(f.below.Crash())
	f.open()
	f.check()
	f.db.Close()
}

// TestNoRoomForAStore: a disk too small for a store refuses it clearly, and takes it
// once there is room.
func TestNoRoomForAStore(t *testing.T) {
	opened := 0
	for room := int64(0); room < 400<<10; room += 9 << 10 {
		d := faultdisk.New(crashdisk.New(uint64(room)))
		d.SetRoom(room)
		db, err := Open(ctx, faultOptions(d))
		switch {
		case err == nil:
			opened++
			db.Kill()
		case !errors.Is(err, kv.ErrNoSpace) && !disk.IsNoSpace(err):
			t.Errorf("room %d: %v", room, err)
		}
		d.SetRoom(1 << 20)
		if db, err = Open(ctx, faultOptions(d)); err != nil {
			t.Errorf("room %d, then more: %v", room, err)
			continue
		}
		set(t, db, "a", "value")
		db.Close()
	}
	if opened == 0 {
		t.Error("no disk was large enough")
	}
}
