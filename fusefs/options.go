package fusefs

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kivaloo/kvstore/kv"
)

// Durability says which call returns only when a file's data is on disk. The
// table in DESIGN.md has every call.
type Durability uint8

const (
	// DurabilityClose: close of a file that was written, and fsync. The default.
	DurabilityClose Durability = iota
	// DurabilityFsync: fsync alone, as on a local filesystem. Closed files follow
	// within a moment.
	DurabilityFsync
	// DurabilityInterval: neither; data follows within CommitInterval.
	DurabilityInterval
)

var durabilityNames = [...]string{"close", "fsync", "interval"}

// String is the name that ParseDurability reads.
func (d Durability) String() string {
	if int(d) < len(durabilityNames) {
		return durabilityNames[d]
	}
	return fmt.Sprintf("Durability(%d)", uint8(d))
}

// ParseDurability reads "close", "fsync" or "interval".
func ParseDurability(name string) (Durability, error) {
	for d, n := range durabilityNames {
		if n == name {
			return Durability(d), nil
		}
	}
	return 0, fmt.Errorf("durability %q: it is close, fsync or interval", name)
}

// Defaults of Options.
const (
	FileModeDefault = 0o644
	DirModeDefault  = 0o755

	// CommitIntervalDefault is how long sync(1), of which a FUSE filesystem is
	// told nothing, may have lied at most.
	CommitIntervalDefault = time.Second

	// UnsavedBytesDefault holds eight of the largest files while they are written.
	UnsavedBytesDefault = 512 << 20
)

// Options of a mount. Store and MountPoint are needed, the rest has defaults.
type Options struct {
	Store      kv.Store
	MountPoint string
	Durability Durability

	// CommitInterval is how long written data waits, at most, for a commit that
	// nobody has asked for.
	CommitInterval time.Duration

	// UnsavedBytes bounds the memory for what is written and not committed, of all
	// files together. Beyond it, writes get ENOBUFS.
	UnsavedBytes int64

	// AllowOther lets other users in; permissions are checked by the kernel.
	AllowOther bool
	ReadOnly   bool

	// UID, GID, FileMode and DirMode are shown for what has no attributes of its
	// own: the keys that native clients have made.
	UID, GID          uint32
	FileMode, DirMode uint32

	// FsName is the first column of df.
	FsName string
	// DirectMount calls mount(2), which needs root; otherwise fusermount3 does.
	DirectMount bool

	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	c := *o
	if c.Store == nil || c.MountPoint == "" {
		return c, errors.New("fusefs: a mount needs a store and a mount point")
	}
	if int(c.Durability) >= len(durabilityNames) {
		return c, fmt.Errorf("fusefs: unknown %v", c.Durability)
	}
	if c.CommitInterval <= 0 {
		c.CommitInterval = CommitIntervalDefault
	}
	if c.UnsavedBytes <= 0 {
		c.UnsavedBytes = UnsavedBytesDefault
	}
	if c.FileMode &= permBits; c.FileMode == 0 {
		c.FileMode = FileModeDefault
	}
	if c.DirMode &= permBits; c.DirMode == 0 {
		c.DirMode = DirModeDefault
	}
	if c.FsName == "" {
		c.FsName = "kivaloo"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// Set makes Durability a flag's value.
func (d *Durability) Set(name string) (err error) {
	*d, err = ParseDurability(name)
	return err
}
