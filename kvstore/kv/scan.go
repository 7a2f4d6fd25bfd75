package kv

import (
	"context"
	"iter"
)

// All yields the entries of a scan page by page; req.Limit bounds a page. The
// iteration ends after the first error.
func All(ctx context.Context, r Reader, req ScanRequest) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		for {
			page, err := r.Scan(ctx, req)
			if err != nil {
				yield(Pair{}, err)
				return
			}
			for _, pair := range page.Entries {
				if !yield(pair, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			if req.Reverse {
				req.End = page.Next
			} else {
				req.Start = page.Next
			}
		}
	}
}

// PrefixEnd is the first key after all keys that begin with prefix, or nil when
// there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
