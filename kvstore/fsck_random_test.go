package kvstore

import (
	"bytes"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
)

// anyEffect draws from all effects there are, on few keys and with values of all
// kinds: inline, of one chunk, of several.
func anyEffect(rng *rand.Rand) kv.Effect {
	key := func() []byte { return fmt.Appendf(nil, "%c/%02d", 'a'+rng.Intn(3), rng.Intn(12)) }
	value := bytes.Repeat([]byte{byte('A' + rng.Intn(26))}, []int{10, 1500, 2049, 3000, 5000}[rng.Intn(5)])
	if rng.Intn(20) == 0 {
		value = bytes.Repeat(value, 140<<10/len(value))
	}
	switch rng.Intn(16) {
	case 0, 1, 2:
		return kv.Effect{Op: kv.Put, Key: key(), Value: value, Fresh: rng.Intn(3) == 0}
	case 3, 4:
		return kv.Effect{Op: kv.Patch, Key: key(), Offset: int64(rng.Intn(4000)), Value: value[:min(len(value), 1+rng.Intn(3000))]}
	case 5:
		return kv.Effect{Op: kv.Truncate, Key: key(), Length: int64(rng.Intn(6000))}
	case 6:
		return kv.Effect{Op: kv.Punch, Key: key(), Offset: int64(rng.Intn(3000)), Length: int64(rng.Intn(9000))}
	case 7, 8:
		return kv.Effect{Op: kv.Move, Key: key(), To: key()}
	case 9:
		return kv.Effect{Op: kv.CopyRange, Key: key(), To: key(), Length: 4000}
	case 10:
		return kv.Effect{Op: kv.DeletePrefix, Key: key()[:2]}
	case 11:
		return kv.Effect{Op: kv.MovePrefix, Key: []byte("a/"), To: []byte("b/")}
	case 12:
		return kv.Effect{Op: kv.Append, Key: key(), Value: value[:min(len(value), 700)]}
	case 13, 14:
		return kv.Effect{Op: kv.Link, Key: key(), To: key()}
	default:
		return kv.Effect{Op: kv.Delete, Key: key()}
	}
}

func anyTxn(rng *rand.Rand) *kv.Txn {
	txn := &kv.Txn{}
	for range 1 + rng.Intn(4) {
		txn.Effects = append(txn.Effects, anyEffect(rng))
	}
	return txn
}

// TestAccountsAfterCrashes: whatever is done and wherever the power fails, in the
// middle of checkpoints too, nothing leaks and nothing is shared by mistake. Blocks
// of other sizes have other layouts.
func TestAccountsAfterCrashes(t *testing.T) {
	seed := int64(testSeed(t))
	for i, blockBytes := range []int{0, 0, 0, 512, 1000, 131072} {
		d := crashdisk.New(uint64(seed) + uint64(i))
		o := crashOptions(d)
		if o.BlockBytes = blockBytes; blockBytes > 100000 {
			o.SegmentBytesMin, o.SegmentBytesMax = 1<<20, 1<<20
		}
		t.Run(fmt.Sprint(i, " blocks of ", blockBytes), func(t *testing.T) {
			runAndCrash(t, d, o, rand.New(rand.NewSource(seed+int64(i))))
		})
	}
}

func runAndCrash(t *testing.T, d *crashdisk.Disk, o Options, rng *rand.Rand) {
	for range 6 {
		o.FS = d
		db, err := Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if rng.Intn(2) == 0 {
			d.CutAt(50 + rng.Intn(300))
		}
		for range 60 {
			db.Commit(ctx, anyTxn(rng)) // it may fail: what it is about need not be there
		}
		d = d.Crash()
		db.Kill()
	}
	o.FS = d
	db, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Kill()
	fsck(t, db)
}

// TestAccountsAfterAFullDisk: a crowd writes while the disk is full half of the
// time; what is refused leaves nothing behind.
func TestAccountsAfterAFullDisk(t *testing.T) {
	seed := testSeed(t)
	d := crashdisk.New(seed)
	o := crashOptions(d)
	o.LogBytes = 256 << 10
	db, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Kill()
	stop := fillAndEmpty(d)
	var done, refused atomic.Int64
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewSource(int64(seed) + int64(g)))
			for range 100 {
				if _, err := db.Commit(ctx, anyTxn(rng)); err == nil {
					done.Add(1)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	stop()
	t.Logf("%d transactions done, %d refused", done.Load(), refused.Load())
	fsck(t, db)
}

// fillAndEmpty has a disk full and not full in turns, until it is stopped.
func fillAndEmpty(d *crashdisk.Disk) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer d.SetBytes(1 << 40)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-time.After(3 * time.Millisecond):
				d.SetBytes([]int64{1, 1 << 40}[i%2])
			}
		}
	}()
	return func() { close(quit); <-done }
}
