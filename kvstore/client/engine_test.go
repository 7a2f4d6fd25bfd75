package client

import (
	"testing"

	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/kvtest"
	"kivaloo/lbs/disk/crashdisk"
)

// The whole way: client, socket, mux, engine. The disk is in memory, since it is
// not what is tested here.
func TestConformanceOfTheEngineOverASocket(t *testing.T) {
	kvtest.Run(t, func(tb testing.TB) *kvtest.Subject {
		opts := kvstore.Options{Dir: "/store", FS: crashdisk.New(1), Create: true, LogBytes: 64 << 10, SegmentBytesMin: 64 << 10}
		db, err := kvstore.Open(tb.Context(), opts)
		if err != nil {
			tb.Fatal(err)
		}
		addr := serve(tb, db)
		return &kvtest.Subject{
			Store:  dial(tb, addr),
			Beside: func() kv.Store { return dial(tb, addr) },
			Lacks:  lacks,
		}
	})
}
