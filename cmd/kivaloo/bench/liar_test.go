package bench

import (
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"kivaloo/mux/wire"
)

// A liar is a server of protocol v1 that keeps pairs in a map, and is honest
// until lie changes what it does.
type liar struct {
	mu    sync.Mutex
	pairs map[string]string
	old   map[string]string // the value before the last write

	// lie may change the answer to request n, from 0. It answers nil to say
	// nothing at all; without answers the connection ends with the request.
	lie func(l *liar, n int, req *wire.Request, answer []byte) []byte
}

// serve listens until the test ends and answers its address.
func (l *liar) serve(t *testing.T) string {
	t.Helper()
	l.pairs, l.old = map[string]string{}, map[string]string{}
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { l.talk(nc) })
		}
	})
	t.Cleanup(func() { listener.Close(); wg.Wait() })
	return path
}

func (l *liar) talk(nc net.Conn) {
	defer nc.Close()
	in, end := make([]byte, 64<<10), 0
	for asked := 0; ; {
		n, err := nc.Read(in[end:])
		if err != nil {
			return
		}
		end += n
		at := 0
		for {
			p, n, err := wire.Next(in[at:end], wire.RequestMax)
			if err != nil || n == 0 {
				break
			}
			at += n
			answer := l.answer(asked, p)
			asked++
			if answer == nil {
				return
			}
			nc.Write(answer)
		}
		end = copy(in, in[at:end])
	}
}

func (l *liar) answer(n int, p wire.Packet) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	req, err := wire.DecodeRequest(p)
	if err != nil {
		return nil
	}
	answer := l.honest(&req)
	if l.lie != nil {
		return l.lie(l, n, &req, answer)
	}
	return answer
}

func (l *liar) honest(req *wire.Request) []byte {
	key := string(req.Key)
	switch req.Type {
	case wire.Set:
		l.old[key] = l.pairs[key]
		l.pairs[key] = string(req.Value)
	case wire.Delete:
		delete(l.pairs, key)
	case wire.Get:
		value, ok := l.pairs[key]
		if !ok {
			return wire.AppendStatus(nil, req.ID, wire.StatusNotDone)
		}
		return wire.AppendValue(nil, req.ID, []byte(value))
	case wire.Range:
		return l.scan(req)
	}
	return wire.AppendStatus(nil, req.ID, wire.StatusDone)
}

// scan answers few pairs at once, so that a small store takes several requests.
func (l *liar) scan(req *wire.Request) []byte {
	var keys []string
	for key := range l.pairs {
		if key >= string(req.Key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	const most = 100
	next := ""
	if len(keys) > most {
		keys, next = keys[:most], keys[most]
	}
	answer := wire.BeginRange(nil, req.ID, len(keys), []byte(next))
	for _, key := range keys {
		answer = wire.AppendPair(answer, []byte(key), []byte(l.pairs[key]))
	}
	return wire.End(answer, 0)
}
