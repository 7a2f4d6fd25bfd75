package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

const logName = "kivaloo.log"

// A lateLog keeps what is logged until it is known where it goes: a log in the
// background lies in the store's directory, which must not be touched before it
// is known to be one.
type lateLog struct {
	mu   sync.Mutex
	kept bytes.Buffer
	to   io.Writer
	file *os.File
}

// newLog makes a logger; in the foreground it writes to stderr at once.
func newLog(e *env, background bool) (*slog.Logger, *lateLog, *lastError) {
	l := &lateLog{}
	if !background {
		l.to = e.stderr
	}
	last := &lastError{}
	return slog.New(witness{slog.NewTextHandler(l, nil), last}), l, last
}

// A lastError is the last error that was logged.
type lastError struct{ err atomic.Pointer[error] }

// take answers the error and forgets it.
func (l *lastError) take() error {
	if err := l.err.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// A witness is a handler that remembers errors beside handling them.
type witness struct {
	slog.Handler
	last *lastError
}

func (w witness) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		err := errors.New(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			if cause, ok := a.Value.Any().(error); ok {
				err = fmt.Errorf("%s: %w", r.Message, cause)
			}
			return true
		})
		w.last.err.Store(&err)
	}
	return w.Handler.Handle(ctx, r)
}

func (w witness) WithAttrs(attrs []slog.Attr) slog.Handler {
	return witness{w.Handler.WithAttrs(attrs), w.last}
}

func (w witness) WithGroup(name string) slog.Handler {
	return witness{w.Handler.WithGroup(name), w.last}
}

func (l *lateLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return l.kept.Write(p)
	}
	return l.to.Write(p)
}

// open lets the log go to a file: the one that was named, or else, in the
// background, the one in the store. A crash of the program goes there too.
func (l *lateLog) open(named, dir string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if named == "" && l.to != nil {
		return nil
	}
	if named == "" {
		named = filepath.Join(dir, logName)
	}
	file, err := os.OpenFile(named, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.to = io.Discard
		return fmt.Errorf("log: %w", err)
	}
	l.to, l.file = file, file
	_, err = l.kept.WriteTo(file)
	debug.SetCrashOutput(file, debug.CrashOptions{})
	return err
}

func (l *lateLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}
