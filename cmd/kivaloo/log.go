package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
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
func newLog(e *env, background bool) (*slog.Logger, *lateLog) {
	l := &lateLog{}
	if !background {
		l.to = e.stderr
	}
	return slog.New(slog.NewTextHandler(l, nil)), l
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
