package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
	"kivaloo/mux"
)

const (
	socketName = "kivaloo.sock"
	pidName    = "kivaloo.pid"

	// shutdownMax is how long clients may take to read their last answers.
	shutdownMax = 10 * time.Second
)

// The engine takes transactions without a goroutine for each, which the mux would
// make up for at a price, without a word.
var _ mux.AsyncCommitter = (*kvstore.DB)(nil)

// A server is a store that is being served, by "serve" or by "mount".
type server struct {
	foreground bool
	sockets    []string
	logFile    string
	insecure   bool

	dir     string
	log     *slog.Logger
	file    *lateLog
	signals chan os.Signal
	store   kv.Store
	mux     *mux.Server
}

func (s *server) declare(flags *pflag.FlagSet) {
	flags.BoolVarP(&s.foreground, "foreground", "f", false, "stay in the foreground, and log to standard error")
	flags.StringArrayVar(&s.sockets, "socket", nil, "serve at `ADDR`: a path, host:port or [ip]:port; repeatable (default DIR/"+socketName+")")
	flags.StringVar(&s.logFile, "log", "", "log to `FILE` (default in the background: DIR/"+logName+")")
	flags.BoolVar(&s.insecure, "insecure-no-auth", false, "serve at addresses that other hosts reach, to anybody")
}

func setupServe(flags *pflag.FlagSet) func(*env, []string) error {
	s := &server{}
	s.declare(flags)
	return func(e *env, args []string) error {
		if !s.foreground && !e.isBackground() {
			return startBackground(os.Args[1:])
		}
		return s.run(e, args[0], func(ready func(string)) error {
			ready("serving " + s.dir)
			s.logSignal(<-s.signals)
			return nil
		})
	}
}

// run opens the store, serves its sockets while body runs, and closes everything.
func (s *server) run(e *env, dir string, body func(ready func(string)) error) (err error) {
	report, err := newReporter(e)
	if err != nil {
		return err
	}
	defer func() { report.failed(err) }()
	if err := s.absolute(dir); err != nil {
		return err
	}
	// The directory we came from may lie on a file system that somebody wants to
	// unmount, or be the mount point.
	if err := os.Chdir("/"); err != nil {
		return err
	}
	s.log, s.file = newLog(e, report.pipe != nil)
	s.signals = make(chan os.Signal, 8)
	signal.Notify(s.signals, os.Interrupt, unix.SIGTERM)
	if err := s.open(); err != nil {
		return errors.Join(err, s.close())
	}
	err = body(report.ready)
	return errors.Join(err, s.close())
}

// absolute makes all paths independent of the directory.
func (s *server) absolute(dir string) (err error) {
	if s.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if s.logFile != "" {
		if s.logFile, err = filepath.Abs(s.logFile); err != nil {
			return err
		}
	}
	for i, addr := range s.sockets {
		if s.sockets[i], err = absoluteAddr(addr); err != nil {
			return err
		}
	}
	if len(s.sockets) == 0 {
		s.sockets = []string{filepath.Join(s.dir, socketName)}
	}
	return nil
}

// open opens the store first: its lock makes everything after it ours.
func (s *server) open() error {
	// The store makes its own directory, and wants the one above to be there.
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return err
	}
	db, err := kvstore.Open(context.Background(), kvstore.Options{Dir: s.dir, Create: true, Logger: s.log})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	s.store = db
	if err := s.file.open(s.logFile, s.dir); err != nil {
		return err
	}
	if err := s.writePID(); err != nil {
		return err
	}
	s.mux = mux.New(db, mux.Options{Log: s.log, InsecureNoAuth: s.insecure})
	for _, addr := range s.sockets {
		bound, err := s.mux.Listen(addr)
		if err != nil {
			return err
		}
		s.log.Info("listening", "address", bound.String())
	}
	return nil
}

// writePID says which process serves the store. It counts only while the store
// is locked: see serverOf.
func (s *server) writePID() error {
	return os.WriteFile(s.pidFile(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
}

func (s *server) pidFile() string { return filepath.Join(s.dir, pidName) }

// close ends everything that open has begun. What clients have sent is finished
// first, and the store is last.
func (s *server) close() error {
	var err error
	if s.mux != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownMax)
		defer cancel()
		if muxErr := s.mux.Shutdown(ctx); muxErr != nil {
			s.log.Warn("stopping clients", "reason", muxErr)
		}
	}
	if s.store != nil {
		os.Remove(s.pidFile()) // while the lock is still ours
		if err = s.store.Close(); err != nil {
			s.log.Error("closing the store", "error", err)
		}
		s.log.Info("stopped")
	}
	s.file.close()
	return err
}

func (s *server) logSignal(sig os.Signal) { s.log.Info("stopping", "signal", sig.String()) }
