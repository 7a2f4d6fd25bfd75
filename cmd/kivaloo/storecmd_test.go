package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"kivaloo/kvstore"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/segment"
)

// future makes a store whose last change was two hours from now: future DIR
func future(ts *testscript.TestScript, _ bool, args []string) {
	db, err := kvstore.Open(context.Background(), kvstore.Options{
		Dir: ts.MkAbs(args[0]), Create: true,
		Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
	})
	ts.Check(err)
	_, err = db.Commit(context.Background(), &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte("k"), Value: []byte("v")}}})
	ts.Check(err)
	ts.Check(db.Close())
}

// later appends to a closed store what a later version might: later DIR trailer,
// later DIR root, or later DIR record.
func later(ts *testscript.TestScript, _ bool, args []string) {
	s, err := segment.Open(disk.OS{}, ts.MkAbs(args[0]), segment.Options{})
	ts.Check(err)
	defer s.Close()
	b := make([]byte, item.TrailerBytes)
	ts.Check(s.ReadAt(b, s.Last(), s.BlockBytes()-item.TailBytes))
	t, err := item.DecodeTrailer(b)
	ts.Check(err)
	t.First, t.Previous, t.Number, t.Clean = s.Next(), s.Last(), t.Number+1, false
	_, err = s.Append(s.Next(), laterPayload(t, args[1], s.BlockBytes()), lbs.Reserve)
	ts.Check(err)
}

func laterPayload(t *item.Trailer, what string, blockBytes int) []byte {
	var body []byte
	switch what {
	case "root":
		body = (&item.Root{Store: t.Store, Redo: t.First}).Append(nil)
		raise(body)
		t.Root.Block, t.Root.Offset = [2]uint64{t.First, t.First}, [2]uint32{}
		t.Root.Bytes, t.Root.CRC = uint32(len(body)), item.StoredCRC(body)
	case "record":
		var r item.RecordBuilder
		r.Reset(1 << 20)
		body = r.AppendTo(nil)
		raise(body)
		t.Record = 0
	}
	payload := item.AppendTrailer(body, t, blockBytes)
	if what == "trailer" {
		raise(payload[len(payload)-item.TrailerBytes:])
	}
	return payload
}

// raise makes an item one of version 2: byte 12, and the CRC over all from byte 8.
func raise(b []byte) {
	b[12] = 2
	crc := crc32.Checksum(b[8:], crc32.MakeTable(crc32.Castagnoli))
	b[4], b[5], b[6], b[7] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
}

func canMakeDisks() bool {
	_, err := exec.LookPath("mkfs.ext4")
	_, loop := os.Stat("/dev/loop-control")
	return err == nil && loop == nil && canMount()
}

// makeDisk makes a small file system that can be broken: disk DIR
func makeDisk(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(dir, 0o700))
	for _, line := range []string{"truncate -s 40M %[1]s.img", "mkfs.ext4 -q -m 0 %[1]s.img", "mount -o loop %[1]s.img %[1]s"} {
		ts.Check(ts.Exec("sh", "-c", fmt.Sprintf(line, dir)))
	}
	ts.Defer(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// breakDisk makes every later call of a file system fail: break DIR
func breakDisk(ts *testscript.TestScript, _ bool, args []string) {
	const (
		shutdown = 0x8004587d // _IOR('X', 125, __u32)
		noFlush  = 2
	)
	d, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer d.Close()
	ts.Check(unix.IoctlSetPointerInt(int(d.Fd()), shutdown, noFlush))
}

// awaits waits for a file: awaits FILE
func awaits(ts *testscript.TestScript, _ bool, args []string) {
	for range 500 {
		if _, err := os.Lstat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("no %s", args[0])
}

// serving looks at the server of a store: it must stand in the root directory, and
// have nothing open of what the script gave to its parent: serving DIR FILE
func serving(ts *testscript.TestScript, _ bool, args []string) {
	server, err := serverOf(ts.MkAbs(args[0]))
	ts.Check(err)
	defer server.Close()
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", server.pid))
	ts.Check(err)
	if cwd != "/" {
		ts.Fatalf("it stands in %s", cwd)
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", server.pid))
	ts.Check(err)
	for _, link := range links {
		if target, _ := os.Readlink(link); strings.HasPrefix(target, ts.MkAbs(args[1])) {
			ts.Fatalf("it has %s open", target)
		}
	}
}
