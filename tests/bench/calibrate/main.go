// Command calibrate is a server of protocol v1 that stores nothing: it checks
// packets and answers. What a benchmark's client reaches with it is what client,
// kernel and protocol take by themselves, on this machine at this time.
//
//	calibrate SOCKET [PAIRS]
//
// Writes are done at once. Each GET finds the same value, so that the client must
// not check them. RANGE answers the pairs of the benchmark, ready made.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"

	"kivaloo/cmd/kivaloo/bench/pairs"
	"kivaloo/mux/wire"
)

const (
	pairsDefault = 1 << 20
	// inBytes is read at once, as much as the client writes at once.
	inBytes = 64 << 10
	// rangeBytesMax bounds the pairs of a RANGE, as it does in the real server.
	rangeBytesMax = 64 << 10
	// pairBytes is what a pair takes in a RANGE.
	pairBytes = 2 * (1 + pairs.Bytes)
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "calibrate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("usage: calibrate SOCKET [PAIRS]")
	}
	n := pairsDefault
	if len(args) == 2 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	ready := newAnswers(n)
	l, err := net.Listen("unix", args[0])
	if err != nil {
		return err
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			if err := ready.serve(nc); err != nil {
				fmt.Fprintln(os.Stderr, "calibrate:", err)
			}
		}()
	}
}

// answers is what is answered, made before anybody asks. It is not changed.
type answers struct {
	pairs   []pairs.Pair
	encoded []byte // all pairs, as a RANGE has them
	value   []byte
}

func newAnswers(n int) *answers {
	a := &answers{pairs: pairs.Make(n).Pairs, value: make([]byte, pairs.Bytes)}
	for i := range a.pairs {
		a.encoded = wire.AppendPair(a.encoded, a.pairs[i].Key[:], a.pairs[i].Value[:])
	}
	return a
}

// serve answers a connection until it ends.
func (a *answers) serve(nc net.Conn) error {
	in := make([]byte, inBytes)
	var out []byte
	for end := 0; ; {
		n, err := nc.Read(in[end:])
		if n == 0 {
			return nil // the client has what it wanted
		}
		end += n
		taken := 0
		if out, taken, err = a.answerAll(out[:0], in[:end]); err != nil {
			return err
		}
		end = copy(in, in[taken:end])
		if _, err := nc.Write(out); err != nil {
			return err
		}
	}
}

// answerAll answers all whole requests of buf, and how many bytes they took.
func (a *answers) answerAll(out, buf []byte) (_ []byte, taken int, err error) {
	for {
		p, n, err := wire.Next(buf[taken:], wire.RequestMax)
		if err != nil || n == 0 {
			return out, taken, err
		}
		req, err := wire.DecodeRequest(p)
		if err != nil {
			return out, taken, err
		}
		out = a.answer(out, &req)
		taken += n
	}
}

func (a *answers) answer(out []byte, req *wire.Request) []byte {
	switch req.Type {
	case wire.Params:
		return wire.AppendParams(out, req.ID, wire.StringMax, wire.StringMax)
	case wire.Get:
		return wire.AppendValue(out, req.ID, a.value)
	case wire.Range:
		return a.scan(out, req)
	}
	return wire.AppendStatus(out, req.ID, wire.StatusDone)
}

// scan answers pairs from the start on; it takes the end for that of all keys.
func (a *answers) scan(out []byte, req *wire.Request) []byte {
	at := sort.Search(len(a.pairs), func(i int) bool { return bytes.Compare(a.pairs[i].Key[:], req.Key) >= 0 })
	most := max(1, int(min(req.Max, rangeBytesMax))/(2*pairs.Bytes))
	end := min(at+most, len(a.pairs))
	var next []byte
	if end < len(a.pairs) {
		next = a.pairs[end].Key[:]
	}
	start := len(out)
	out = wire.BeginRange(out, req.ID, end-at, next)
	out = append(out, a.encoded[at*pairBytes:end*pairBytes]...)
	return wire.End(out, start)
}
