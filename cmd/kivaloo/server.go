package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/mux"
)

const (
	socketName = "kivaloo.sock"
	pidName    = "kivaloo.pid"

	// shutdownMax is how long clients may take to read their last answers.
	shutdownMax = 10 * time.Second

	// lockPatience is long for the end of a process, and short for who has typed
	// the name of a store in use.
	lockPatience = 500 * time.Millisecond
	lockPoll     = 20 * time.Millisecond

	// Below the one bound a lookup would read its pages again and again; beyond the
	// other it is a slip of the pen.
	cacheBytesMin = 1 << 20
	cacheBytesMax = 1 << 40

	// gcPercent lets garbage come to half of what is in use. Most of that is pages,
	// which cost the collector nothing: collecting twice as often takes a few percent
	// of the time, and a third of the memory is saved. GOGC in the environment
	// decides otherwise.
	gcPercent = 50

	// With less log a store does nothing but merge; with more, opening it after a
	// crash takes longer than it should.
	logBoundMin = 64 << 10
	logBoundMax = 64 << 20
)

// The engine takes transactions without a goroutine for each, and looks many pairs
// up at once; the mux would make up for either at a price, without a word.
var (
	_ mux.CrowdCommitter = (*kvstore.DB)(nil)
	_ mux.BatchGetter    = (*kvstore.DB)(nil)
)

// A server is a store that is being served, by "serve" or by "mount".
type server struct {
	foreground  bool
	sockets     []string
	logFile     string
	insecure    bool
	acceptClock bool
	block       byteSize
	cache       byteSize
	logBound    byteSize
	price       storagePrice

	dir     string
	log     *slog.Logger
	file    *lateLog
	errors  *lastError
	signals chan os.Signal
	store   kv.Store
	mux     *mux.Server
	ending  *ending
}

func (s *server) declare(flags *pflag.FlagSet) {
	s.block = byteSize{least: lbs.BlockBytesMin, most: lbs.BlockBytesMax}
	s.cache = byteSize{least: cacheBytesMin, most: cacheBytesMax}
	s.price = storagePrice{kvstore.StoragePriceDefault}
	s.logBound = byteSize{least: logBoundMin, most: logBoundMax}
	flags.BoolVarP(&s.foreground, "foreground", "f", false, "stay in the foreground, and log to standard error")
	flags.StringArrayVar(&s.sockets, "socket", nil, "serve at `ADDR`: a path, host:port or [ip]:port; repeatable (default DIR/"+socketName+")")
	flags.StringVar(&s.logFile, "log", "", "log to `FILE` (default in the background: DIR/"+logName+")")
	flags.BoolVar(&s.insecure, "insecure-no-auth", false, "serve at addresses that other hosts reach, to anybody")
	flags.BoolVar(&s.acceptClock, "accept-clock", false, "open a store whose last change is more than an hour ahead of the clock")
	flags.Var(&s.block, "block-size", fmt.Sprintf("`BYTES` of a block, %d to %d, for a new store (default %d); a store of another size is refused",
		lbs.BlockBytesMin, lbs.BlockBytesMax, lbs.BlockBytesDefault))
	flags.VarP(&s.cache, "cache", "c", "keep at most so many `BYTES` of pages in memory, such as 512M (default "+humanBytes(kvstore.CacheBytesDefault)+")")
	flags.Var(&s.logBound, "log-bound", "merge commits into pages after so many `BYTES` of log (default by the size of the store, 4M to 48M)")
	flags.VarP(&s.price, "storage-price", "S", "what a gigabyte on the disk costs for a month, as a `PRICE` in millions of I/Os: the dearer, the more is written to keep the store small; 0 never moves anything")
}

func setupServe(flags *pflag.FlagSet) func(*env, []string) error {
	s := &server{}
	s.declare(flags)
	return func(e *env, args []string) error {
		if !s.foreground && !e.isBackground() {
			return startBackground(os.Args[1:])
		}
		return s.run(e, args[0], front{
			prepare: func() error { return nil },
			show: func(ready func(string)) error {
				ready("serving " + s.dir)
				s.logSignal(<-s.signals)
				return nil
			},
			giveUp: func() {},
		})
	}
}

// A front is what a store is shown by beside its sockets: a mount, or nothing.
type front struct {
	// prepare finds what is wrong before the store is opened or made.
	prepare func() error
	// show runs while the store is served.
	show func(ready func(string)) error
	// giveUp takes back what prepare has done and show has not used.
	giveUp func()
}

// run opens the store, serves its sockets and its front, and closes everything. What
// is wrong with the command line, or found by the front, is found before anything is
// opened or made.
func (s *server) run(e *env, dir string, f front) (err error) {
	report, err := newReporter(e)
	if err != nil {
		return err
	}
	defer func() {
		f.giveUp()
		report.failed(err)
	}()
	if err := s.absolute(dir); err != nil {
		return err
	}
	if err := s.checkPlaces(); err != nil {
		return err
	}
	if err := f.prepare(); err != nil {
		return err
	}
	// The directory we came from may lie on a file system that somebody wants to
	// unmount, or be the mount point.
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	s.log, s.file, s.errors = newLog(e, report.pipe != nil)
	s.signals = make(chan os.Signal, 8)
	signal.Notify(s.signals, os.Interrupt, unix.SIGTERM)
	if err = s.open(); err == nil {
		err = f.show(report.ready)
	}
	err = errors.Join(err, s.close())
	s.ending.tell(err)
	return err
}

// absolute makes all paths independent of the directory.
func (s *server) absolute(dir string) (err error) {
	if dir == "" {
		return usagef("DIR is empty") // a variable that was not set, not the directory we are in
	}
	if s.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if len(s.sockets) == 0 {
		s.sockets = []string{filepath.Join(s.dir, socketName)}
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
	return nil
}

// open opens the store first: its lock makes everything after it ours.
func (s *server) open() (err error) {
	// The store makes its own directory, and wants the one above to be there.
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return err
	}
	if err := s.openStore(); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	// On a full disk there may be no room for a log and a pid, but there are files to
	// be deleted.
	if err := s.file.open(s.logFile, s.dir); err != nil && !disk.IsNoSpace(err) {
		return err
	}
	if s.ending, err = newEnding(); err != nil {
		return err
	}
	if err := s.writePID(); disk.IsNoSpace(err) {
		s.log.Warn("no room for the pid", "cause", err)
	} else if err != nil {
		return err
	}
	return s.listen()
}

// openStore opens the store. A process that was killed gives its lock back when
// the last of its threads has ended, a little after it seems to be gone.
func (s *server) openStore() error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		db, err := kvstore.Open(context.Background(), kvstore.Options{
			Dir: s.dir, Create: true, Logger: s.log, AcceptClock: s.acceptClock,
			BlockBytes: int(s.block.bytes), CacheBytes: s.cache.bytes, LogBytes: s.logBound.bytes,
			StoragePrice: s.price.option(),
		})
		if err == nil {
			s.store = db
			return nil
		}
		if !errors.Is(err, lbs.ErrInUse) || time.Now().After(end) {
			return err
		}
	}
}

func (s *server) listen() error {
	s.mux = mux.New(s.store, mux.Options{Log: s.log, InsecureNoAuth: s.insecure})
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
	if s.mux != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownMax)
		defer cancel()
		if err := s.mux.Shutdown(ctx); err != nil {
			s.log.Warn("stopping clients", "reason", err)
		}
	}
	var err error
	if s.store != nil {
		os.Remove(s.pidFile()) // while the lock is still ours
		if err = s.closeStore(); err != nil {
			s.log.Error("closing the store", "error", err)
		}
		s.log.Info("stopped")
	}
	s.file.close()
	return err
}

// closeStore closes the store, and says if that was not a clean stop. The store's
// own answer is only whether something that was acknowledged may be missing.
func (s *server) closeStore() error {
	_, failed := s.store.Commit(context.Background(), &kv.Txn{}) // of nothing: it fails where the log has failed
	s.errors.take()
	err := s.store.Close()
	if err == nil {
		err = failed
	}
	if err == nil {
		err = s.errors.take()
	}
	return err
}

func (s *server) logSignal(sig os.Signal) { s.log.Info("stopping", "signal", sig.String()) }
