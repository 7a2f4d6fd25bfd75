package tests

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"
)

// This is a client of protocol v1 that was written from the protocol's description
// alone: it stands for the programs of others.

const (
	reqParams = 0x100
	reqSet    = 0x110
	reqCAS    = 0x111
	reqAdd    = 0x112
	reqModify = 0x113
	reqDelete = 0x120
	reqCAD    = 0x121
	reqGet    = 0x130
	reqRange  = 0x131
)

// A v1 is a connection; for one goroutine.
type v1 struct {
	conn net.Conn
	in   *bufio.Reader
	id   uint64
}

// dial connects to the socket of a place.
func dial(t testing.TB, sock string) *v1 {
	t.Helper()
	conn, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(lifetime()))
	return &v1{conn: conn, in: bufio.NewReaderSize(conn, 1<<16)}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// check is the protocol's CRC: a leading 1 bit, no final inversion.
func check(p []byte) uint32 { return ^crc32.Update(^uint32(0x82f63b78), castagnoli, p) }

// packet frames a record.
func packet(id uint64, record []byte) []byte {
	p := binary.BigEndian.AppendUint64(nil, id)
	p = binary.BigEndian.AppendUint32(p, uint32(len(record)))
	head := check(p)
	p = binary.LittleEndian.AppendUint32(p, head)
	p = append(p, record...)
	return binary.LittleEndian.AppendUint32(p, check(record)^head)
}

// request is the record of a request of short strings.
func request(kind uint32, parts ...string) []byte {
	r := binary.BigEndian.AppendUint32(nil, kind)
	for _, s := range parts {
		r = append(append(r, byte(len(s))), s...)
	}
	return r
}

func rangeRequest(most uint32, start, end string) []byte {
	r := binary.BigEndian.AppendUint32(nil, reqRange)
	r = binary.BigEndian.AppendUint32(r, most)
	for _, s := range []string{start, end} {
		r = append(append(r, byte(len(s))), s...)
	}
	return r
}

// readPacket reads one packet as it came, and takes it apart.
func readPacket(in io.Reader) (id uint64, record, raw []byte, err error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, nil, err
	}
	length := binary.BigEndian.Uint32(head[8:])
	if check(head[:12]) != binary.LittleEndian.Uint32(head[12:]) || length > 1<<20 {
		return 0, nil, nil, fmt.Errorf("bad packet header %x", head)
	}
	body := make([]byte, length+4)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, nil, err
	}
	record = body[:length]
	if check(record)^check(head[:12]) != binary.LittleEndian.Uint32(body[length:]) {
		return 0, nil, nil, errors.New("bad check of a record")
	}
	return binary.BigEndian.Uint64(head), record, append(head, body...), nil
}

// send writes a request without waiting and returns its ID.
func (c *v1) send(record []byte) (uint64, error) {
	c.id++
	_, err := c.conn.Write(packet(c.id, record))
	return c.id, err
}

// call sends a request and returns its response: status and the rest.
func (c *v1) call(record []byte) (status uint32, rest []byte, err error) {
	want, err := c.send(record)
	if err != nil {
		return 0, nil, err
	}
	id, answer, _, err := readPacket(c.in)
	if err != nil {
		return 0, nil, err
	}
	if id != want || len(answer) < 4 {
		return 0, nil, fmt.Errorf("answer %x to request %d, want %d", answer, id, want)
	}
	return binary.BigEndian.Uint32(answer), answer[4:], nil
}

func (c *v1) set(key, value string) error {
	status, _, err := c.call(request(reqSet, key, value))
	if err == nil && status != 0 {
		err = fmt.Errorf("SET answered %d", status)
	}
	return err
}

// get returns the value and whether there is one.
func (c *v1) get(key string) (string, bool, error) {
	status, rest, err := c.call(request(reqGet, key))
	if err != nil || status == 1 {
		return "", false, err
	}
	value, rest, ok := shortString(rest)
	if status != 0 || !ok || len(rest) != 0 {
		return "", false, fmt.Errorf("GET answered %d %x", status, rest)
	}
	return value, true, nil
}

func shortString(p []byte) (s string, rest []byte, ok bool) {
	if len(p) == 0 || len(p) < 1+int(p[0]) {
		return "", p, false
	}
	n := 1 + int(p[0])
	return string(p[1:n]), p[n:], true
}

type v1Pair struct{ key, value string }

// rangeOnce is one RANGE request.
func (c *v1) rangeOnce(most uint32, start, end string) (pairs []v1Pair, next string, err error) {
	status, rest, err := c.call(rangeRequest(most, start, end))
	if err != nil {
		return nil, "", err
	}
	if status != 0 || len(rest) < 4 {
		return nil, "", fmt.Errorf("RANGE answered %d %x", status, rest)
	}
	count := binary.BigEndian.Uint32(rest)
	next, rest, ok := shortString(rest[4:])
	for range count {
		var p v1Pair
		var okKey, okValue bool
		p.key, rest, okKey = shortString(rest)
		p.value, rest, okValue = shortString(rest)
		ok = ok && okKey && okValue
		pairs = append(pairs, p)
	}
	if !ok || len(rest) != 0 {
		return nil, "", errors.New("malformed answer to RANGE")
	}
	return pairs, next, nil
}

// rangeAll follows next to the end.
func (c *v1) rangeAll(most uint32, start, end string) ([]v1Pair, error) {
	var all []v1Pair
	for {
		pairs, next, err := c.rangeOnce(most, start, end)
		if err != nil {
			return nil, err
		}
		all = append(all, pairs...)
		if next == "" || end != "" && next >= end {
			return all, nil
		}
		if next <= start {
			return nil, fmt.Errorf("RANGE from %q says next is %q", start, next)
		}
		start = next
	}
}

// isClosed says whether the server has closed the connection, in good time.
func (c *v1) isClosed() bool {
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := c.in.ReadByte()
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

func TestClientsOwnChecksAreRight(t *testing.T) {
	// The first recorded request, PARAMS.
	want := []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0xab, 0x12, 0x33, 0xe7, 0, 0, 1, 0, 0x80, 0x5f, 0x33, 0x9a}
	if got := packet(1, request(reqParams)); !bytes.Equal(got, want) {
		t.Errorf("packet is %x, want %x", got, want)
	}
}
