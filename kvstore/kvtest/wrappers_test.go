package kvtest

import (
	"context"
	"strings"

	"kivaloo/kvstore/kv"
)

var otherFaults = []fault{
	{name: "snapshots see later writes", by: "snapshot/", store: func(f *faulty) kv.Store { return liveSnapshots{f} }},
	{name: "writers do not wait for observers", by: "observe/", byHand: true, store: func(f *faulty) kv.Store { return hastyStore{f} }},
	{name: "a watch loses changes", by: "watch/", store: func(f *faulty) kv.Store { return lossyStore{f} }},
	{name: "a failed transaction uses up what is staged", by: "stage/survives", byHand: true, store: func(f *faulty) kv.Store { return wastefulStore{f} }},
	{name: "a byte 0xff in keys is taken for 0xfe", by: "effect/prefix/delete", before: func(_ *faulty, txn *kv.Txn) {
		for i := range txn.Effects {
			txn.Effects[i].Key = []byte(strings.ReplaceAll(string(txn.Effects[i].Key), "\xff", "\xfe"))
		}
	}},
}

type liveSnapshots struct{ *faulty }

type liveSnapshot struct {
	kv.Store
	kv.Snapshot
}

func (s liveSnapshot) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	return s.Store.Get(ctx, req)
}

func (s liveSnapshot) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	return s.Store.Scan(ctx, req)
}

func (s liveSnapshot) Version() kv.Stamp { return s.Snapshot.Version() }

func (s liveSnapshots) Snapshot(ctx context.Context) (kv.Snapshot, error) {
	snapshot, err := s.Model.Snapshot(ctx)
	return liveSnapshot{s.Model, snapshot}, err
}

// A hastyStore confirms for its observers.
type hastyStore struct{ *faulty }

type hastySession struct{ kv.Session }

type hastyObserver struct{ kv.Observer }

func (o hastyObserver) Changed(changes []kv.Change, done func()) {
	done()
	o.Observer.Changed(changes, func() {})
}

func (s hastySession) Observe(o kv.Observer) error { return s.Session.Observe(hastyObserver{o}) }

func (s hastyStore) Session(ctx context.Context) (kv.Session, error) {
	session, err := s.faulty.Session(ctx)
	return hastySession{session}, err
}

// A lossyStore's watchers see but the first change of each key.
type lossyStore struct{ *faulty }

type lossyWatcher struct {
	kv.Watcher
	seen map[string]bool
}

func (w lossyWatcher) Next(ctx context.Context) ([]kv.Change, error) {
	changes, err := w.Watcher.Next(ctx)
	left := changes[:0:0]
	for i, ch := range changes {
		if i == 0 || !w.seen[string(ch.Key)] {
			left = append(left, ch)
		}
		w.seen[string(ch.Key)] = true
	}
	return left, err
}

func (s lossyStore) Watch(ctx context.Context, req kv.WatchRequest) (kv.Watcher, error) {
	w, err := s.faulty.Watch(ctx, req)
	return lossyWatcher{w, map[string]bool{}}, err
}

// A wastefulStore drops what a transaction has staged, come what may.
type wastefulStore struct{ *faulty }

type wastefulSession struct{ kv.Session }

func (s wastefulSession) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	result, err := s.Session.Commit(ctx, txn)
	for _, e := range txn.Effects {
		s.Unstage(e.Staged)
	}
	return result, err
}

func (s wastefulStore) Session(ctx context.Context) (kv.Session, error) {
	session, err := s.faulty.Session(ctx)
	return wastefulSession{session}, err
}
