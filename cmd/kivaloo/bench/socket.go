package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"kivaloo/kvstore/client"
	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

// A server is a target behind a socket, whose protocol is v1.
type server struct{ conns []*conn }

func dialServer(ctx context.Context, o *Options) (target, error) {
	s := &server{}
	for range o.Connections {
		nc, err := socket.Dial(ctx, o.Socket)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", client.ErrConnection, err), s.close())
		}
		s.conns = append(s.conns, newConn(nc))
	}
	return s, nil
}

func (s *server) close() error {
	var err error
	for _, c := range s.conns {
		if closeErr := c.nc.Close(); !errors.Is(closeErr, net.ErrClosed) { // by who has found it lost
			err = errors.Join(err, closeErr)
		}
	}
	return err
}

func (s *server) run(ctx context.Context, j *job) error {
	defer s.interruptible(ctx)()
	return each(j.shares(len(s.conns)), func(i int, part *share) error { return s.conns[i].run(part) })
}

func (s *server) extract(ctx context.Context, j *job) error {
	defer s.interruptible(ctx)()
	return s.conns[0].extract(j)
}

func (s *server) first(ctx context.Context) ([]byte, error) {
	defer s.interruptible(ctx)()
	found, _, err := s.conns[0].scan(nil, 1)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0].Key, nil
}

// interruptible ends the connections when ctx ends, until its answer is called.
func (s *server) interruptible(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		for _, c := range s.conns {
			c.nc.Close()
		}
	})
}

// each carries out shares at once, and answers when all have ended.
func each(shares []*share, run func(i int, s *share) error) error {
	errs := make([]error, len(shares))
	var wg sync.WaitGroup
	for i, s := range shares {
		wg.Go(func() { errs[i] = run(i, s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// extract reads all pairs again and again, until the deadline.
func (c *conn) extract(j *job) error {
	for over := false; !over; {
		var err error
		if over, err = c.pass(j); err != nil {
			return err
		}
	}
	return nil
}

// pass asks for the pairs in order, one RANGE after the other, as the original
// does. It answers whether the deadline came before the end.
func (c *conn) pass(j *job) (over bool, err error) {
	var start []byte
	for at := 0; ; {
		found, next, err := c.scan(start, j.pageBytes)
		if err != nil {
			return false, err
		}
		if err := j.checkPage(at, found); err != nil {
			return false, err
		}
		at += len(found)
		j.done.Add(uint64(len(found)))
		switch {
		case j.expired():
			return true, nil
		case len(next) == 0:
			return false, j.checkEnd(at)
		}
		start = append(start[:0], next...) // next lies where the answer does
	}
}

func (j *job) checkPage(at int, found []wire.Pair) error {
	if j.noCheck {
		return nil
	}
	for i, p := range found {
		if err := j.data.checkPair(at+i, p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) checkEnd(at int) error {
	if want := len(j.data.Pairs); !j.noCheck && at != want {
		return wrongf("%d pairs were extracted of %d", at, want)
	}
	return nil
}

// scan sends a RANGE from start to the end of all keys, and awaits its answer.
func (c *conn) scan(start []byte, bytes int) (found []wire.Pair, next []byte, err error) {
	req := wire.Request{Type: wire.Range, Max: uint32(bytes), Key: start}
	if c.out, err = wire.AppendRequest(c.out[:0], &req); err != nil {
		return nil, nil, err
	}
	if err := c.write(); err != nil {
		return nil, nil, err
	}
	p, err := c.await(bytes + wire.PairMax + rangeSlack)
	if err != nil {
		return nil, nil, err
	}
	if p.ID != req.ID {
		return nil, nil, wrongf("an answer to request %d, which was not sent", p.ID)
	}
	c.pairs, next, err = wire.DecodeRange(c.pairs[:0], p.Record)
	if err != nil {
		return nil, nil, wrongf("%v", err)
	}
	return c.pairs, next, nil
}

// newConn makes a connection of the benchmark.
func newConn(nc net.Conn) *conn { return &conn{nc: nc, in: make([]byte, inBytes)} }
