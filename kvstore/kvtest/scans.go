package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kivaloo/kvstore/kv"
)

func scanTests() []test {
	return []test{
		{"scan/nothing", 0, scanNothing},
		{"scan/ranges", 0, scanRanges},
		{"scan/every kind of request", Listings, scanGrid},
		{"scan/directories", Listings, scanDirectories},
		{"scan/delimiter 0xff", Listings, scanLastDelimiter},
		{"scan/longest keys", Listings | Large, scanLongestKeys},
		{"scan/large values", Listings | Large, scanLargeValues},
		{"scan/many pairs", 0, scanMany},
		{"scan/no meaning", Listings, scanNoMeaning},
	}
}

// bruteScan is what a scan without limits answers, found the long way.
func bruteScan(all []kv.Pair, req kv.ScanRequest) []kv.Pair {
	var entries []kv.Pair
	all = slices.Clone(all)
	if req.Reverse {
		slices.Reverse(all)
	}
	for _, p := range all {
		if bytes.Compare(p.Key, req.Start) < 0 || req.End != nil && bytes.Compare(p.Key, req.End) >= 0 {
			continue
		}
		if prefix, ok := listed(p.Key, &req); ok {
			p = kv.Pair{Key: prefix, Prefix: true}
			if n := len(entries); n > 0 && entries[n-1].Prefix && bytes.Equal(entries[n-1].Key, prefix) {
				continue
			}
		} else {
			p.Value = cut(p.Value, &req)
		}
		entries = append(entries, p)
	}
	return entries
}

func listed(key []byte, req *kv.ScanRequest) (prefix []byte, ok bool) {
	if len(req.Delimiter) == 0 || len(key) < req.Skip {
		return nil, false
	}
	name, _, ok := strings.Cut(string(key[req.Skip:]), string(req.Delimiter))
	return key[:min(req.Skip+len(name)+1, len(key))], ok
}

func cut(value []byte, req *kv.ScanRequest) []byte {
	most := req.ValueBytes
	if most == 0 {
		most = kv.InlineBytesMax
	}
	return value[:min(most, len(value))]
}

// scans pages through a scan to its end and compares it with all pairs that
// there are. It answers the number of pages.
func (e *env) scans(r kv.Reader, all []kv.Pair, req kv.ScanRequest) (pages int) {
	e.Helper()
	want, asked := bruteScan(all, req), req
	var got []kv.Pair
	for more := true; more; pages++ {
		page, err := r.Scan(e.ctx, req)
		e.check(err)
		e.checkPage(&req, &page)
		got = append(got, page.Entries...)
		if req.Reverse {
			req.End = page.Next
		} else {
			req.Start = page.Next
		}
		more = page.More
		if pages > len(want)+1 {
			e.Fatalf("%s: the scan does not end", scanned(&asked))
		}
	}
	defer e.explain(scanned(&asked))()
	e.sameParts(got, want, asked.Want)
	return pages
}

// checkPage says whether a page keeps its limits.
func (e *env) checkPage(req *kv.ScanRequest, page *kv.ScanPage) {
	e.Helper()
	size := 0
	for i := range page.Entries {
		size += len(page.Entries[i].Key) + len(page.Entries[i].Value)
	}
	limit, most := bounded(req.Limit, kv.ScanEntriesMax), bounded(req.Bytes, kv.ScanBytesMax)
	if n := len(page.Entries); n > limit || size > most && n > 1 || n == 0 && page.More {
		e.Fatalf("%s: %d entries of %d bytes in a page, more %v", scanned(req), n, size, page.More)
	}
}

// sameParts compares entries in what was asked for; the rest may be there or not.
func (e *env) sameParts(got, want []kv.Pair, parts kv.Want) {
	e.Helper()
	for i := range min(len(got), len(want)) {
		g, w := &got[i], &want[i]
		if parts&kv.WantValue == 0 {
			g.Value, w.Value = nil, nil
		}
		if parts&kv.WantStamps == 0 {
			*g = kv.Pair{Key: g.Key, Value: g.Value, Size: g.Size, Prefix: g.Prefix}
			*w = kv.Pair{Key: w.Key, Value: w.Value, Size: w.Size, Prefix: w.Prefix}
		}
	}
	e.samePairs(got, want)
}

func scanned(req *kv.ScanRequest) string {
	end := "the end"
	if req.End != nil {
		end = short(string(req.End))
	}
	return fmt.Sprintf("scan from %s to %s, reverse %v, delimiter %q after %d, at most %d, %d bytes, %d of each value, want %d",
		short(string(req.Start)), end, req.Reverse, req.Delimiter, req.Skip, req.Limit, req.Bytes, req.ValueBytes, req.Want)
}

func scanNothing(e *env) {
	e.scans(e.store, nil, kv.ScanRequest{Want: e.want()})
	e.do(put("k", "v"))
	e.do(del("k"))
	e.scans(e.store, nil, kv.ScanRequest{Want: e.want()})
}

// scanKeys are few but awkward.
var scanKeys = []string{"", "\x00", "/", "//", "a", "a\x00", "a/", "a/b", "a/b/", "a/b/c", "a/c", "a0", "ab", "b/\xff", "b/\xff/x", "\xff", "\xff/", "\xff\xff"}

func (e *env) putScanKeys() []kv.Pair {
	for i, key := range scanKeys {
		e.do(put(key, text(i)))
	}
	return e.all(e.oracle.model)
}

func scanRanges(e *env) {
	all := e.putScanKeys()
	for _, start := range scanKeys {
		e.scans(e.store, all, kv.ScanRequest{Start: []byte(start), Want: e.want()})
		e.scans(e.store, all, kv.ScanRequest{Start: []byte(start), Want: e.want(), Bytes: 20})
		for _, end := range scanKeys {
			e.scans(e.store, all, kv.ScanRequest{Start: []byte(start), End: []byte(end), Want: e.want()})
		}
	}
}

// scanGrid tries what can be said in a request, in every combination.
func scanGrid(e *env) {
	all := e.putScanKeys()
	for _, start := range []string{"", "/", "a/", "a/b", "b/\xff/", "\xff"} {
		for _, end := range [][]byte{nil, {}, []byte("/"), []byte("a/b/"), []byte("a0"), []byte("\xff"), []byte("\xff\xff")} {
			scanBetween(e, all, kv.ScanRequest{Start: []byte(start), End: end})
		}
	}
}

func scanBetween(e *env, all []kv.Pair, req kv.ScanRequest) {
	for _, delimiter := range []string{"", "/", "b", "\xff"} {
		req.Delimiter = []byte(delimiter)
		for req.Skip = range 4 {
			for i := range 12 {
				req.Reverse = i%2 == 1
				req.Limit = [...]int{0, 1, 2, 3, 100, 0}[i/2]
				req.Bytes = [...]int{0, 0, 1, 15, 30, 7}[i/2]
				req.Want = [...]kv.Want{kv.WantAll, 0, kv.WantValue}[i/4]
				e.scans(e.store, all, req)
			}
		}
	}
}

// scanDirectories lists as a mount does: only how much it reads may grow with
// what lies below, never what it answers.
func scanDirectories(e *env) {
	for d := range 5 {
		for f := range 40 {
			e.do(put(fmt.Sprintf("d/%d/%d", d, f), "v"))
		}
		e.do(put(fmt.Sprintf("d/%d", d), "v"))
	}
	all := e.all(e.oracle.model)
	for _, reverse := range []bool{false, true} {
		for _, limit := range []int{0, 1, 3} {
			e.scans(e.store, all, kv.ScanRequest{Start: []byte("d/"), End: []byte("d0"), Delimiter: []byte("/"), Skip: 2, Reverse: reverse, Limit: limit})
		}
	}
}

// scanLastDelimiter: no key follows those with a prefix of 0xff alone.
func scanLastDelimiter(e *env) {
	for _, key := range []string{"a", "a\xffb", "\xff", "\xff\xff", "\xff\xffa"} {
		e.do(put(key, "v"))
	}
	all := e.all(e.oracle.model)
	for skip := range 3 {
		for _, reverse := range []bool{false, true} {
			for _, limit := range []int{0, 1} {
				e.scans(e.store, all, kv.ScanRequest{Delimiter: []byte("\xff"), Skip: skip, Reverse: reverse, Limit: limit})
			}
		}
	}
}

func scanLongestKeys(e *env) {
	long := strings.Repeat("k", kv.KeyBytesMax)
	for _, key := range []string{long[1:], long, long[1:] + "l", long[2:] + "\xff\xff"} {
		e.do(put(key, key))
	}
	all := e.all(e.oracle.model)
	for _, reverse := range []bool{false, true} {
		e.scans(e.store, all, kv.ScanRequest{Limit: 1, Reverse: reverse, Want: e.want()})
		e.scans(e.store, all, kv.ScanRequest{Bytes: 9000, Reverse: reverse, Want: e.want()})
	}
	e.scans(e.store, all, kv.ScanRequest{Start: []byte(long + "\x00"), Want: e.want()})
	e.scans(e.store, all, kv.ScanRequest{End: []byte(long + "\x00"), Want: e.want(), Reverse: true})
	if _, err := e.store.Scan(e.ctx, kv.ScanRequest{Start: []byte(long + "kk")}); !errors.Is(err, kv.ErrTooLarge) {
		e.Fatalf("%v, want ErrTooLarge", err)
	}
}

func scanLargeValues(e *env) {
	for i, size := range []int{0, kv.InlineBytesMax, kv.InlineBytesMax + 1, kv.ChunkBytes + 1, 3*kv.ChunkBytes - 1, 0, 1} {
		e.do(put(string(rune('a'+i)), text(size)))
	}
	all := e.all(e.oracle.model)
	for _, values := range []int{0, 1, kv.InlineBytesMax + 1, kv.ChunkBytes, kv.ValueBytesMax} {
		for _, size := range []int{0, 1, 3000, 2 * kv.ChunkBytes} {
			e.scans(e.store, all, kv.ScanRequest{ValueBytes: values, Bytes: size, Want: e.want()})
			e.scans(e.store, all, kv.ScanRequest{ValueBytes: values, Bytes: size, Want: e.want(), Reverse: true})
		}
	}
}

// scanMany needs several pages even without a limit.
func scanMany(e *env) {
	const n = 20
	var all []kv.Pair
	for i := range 400 {
		key := fmt.Sprintf("%0*d", n, i)
		e.do(put(key, text(i%256)))
	}
	all = e.all(e.oracle.model)
	for _, size := range []int{0, 100, 5000} {
		e.scans(e.store, all, kv.ScanRequest{Want: e.want(), Bytes: size})
	}
	e.same()
}

func scanNoMeaning(e *env) {
	for _, req := range []kv.ScanRequest{
		{Delimiter: []byte("//")},
		{Skip: -1}, {Limit: -1}, {Bytes: -1}, {ValueBytes: -1},
	} {
		if _, err := e.store.Scan(e.ctx, req); !errors.Is(err, kv.ErrInvalid) {
			e.Fatalf("%s: %v, want ErrInvalid", scanned(&req), err)
		}
	}
}
