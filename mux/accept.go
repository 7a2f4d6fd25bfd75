package mux

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"kivaloo/mux/socket"
)

// acceptPause follows a failed accept. The cause is most often that descriptors
// have run out, and asking again at once would only take the processor as well.
const acceptPause = 50 * time.Millisecond

// acceptAll serves the connections of one listener until Shutdown.
func (s *Server) acceptAll(l net.Listener) {
	for s.place() {
		nc, err := l.Accept()
		if err != nil {
			<-s.places
			if !s.acceptFailed(err) {
				return
			}
			continue
		}
		s.admit(nc)
	}
}

// place waits for a free place for one more connection.
func (s *Server) place() bool {
	select {
	case s.places <- struct{}{}:
		return true
	case <-s.stop:
		return false
	}
}

// acceptFailed says whether to go on accepting.
func (s *Server) acceptFailed(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	if errors.Is(err, unix.ECONNABORTED) { // by a client, before we came to it
		return true
	}
	s.report.warn("cannot accept a connection", "reason", err)
	select {
	case <-time.After(acceptPause):
		return true
	case <-s.stop:
		return false
	}
}

// admit starts a connection, if its peer is allowed and nobody has called
// Shutdown in between.
func (s *Server) admit(nc net.Conn) {
	err := socket.CheckPeer(nc)
	if err != nil {
		s.report.warn("connection refused", "reason", err)
	}
	if err != nil || !s.start(nc) {
		nc.Close()
		<-s.places
	}
}

func (s *Server) start(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return false
	}
	s.mu.accepted++
	c := newConn(s, nc, s.mu.accepted)
	s.mu.conns[c] = struct{}{}
	s.wg.Go(func() {
		c.serve()
		s.forget(c)
	})
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	s.mu.Unlock()
	<-s.places
}
