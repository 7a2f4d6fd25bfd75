package segment

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

const (
	formatName = "format"
	tempSuffix = ".tmp"
)

func openName(first uint64) string           { return fmt.Sprintf("seg_%016x", first) }
func closedName(first, blocks uint64) string { return fmt.Sprintf("seg_%016x_%08x", first, blocks) }
func spareName(id uint32) string             { return fmt.Sprintf("spare_%08x", id) }

var (
	segmentPattern = regexp.MustCompile(`^seg_([0-9a-f]{16})(?:_([0-9a-f]{8}))?$`)
	sparePattern   = regexp.MustCompile(`^spare_([0-9a-f]{8})$`)
	tempPattern    = regexp.MustCompile(`^(format|spare_[0-9a-f]{8})\.tmp$`)
)

// A listing sorts the names of a directory by what they are.
type listing struct {
	record    bool
	segments  []found // in order of their numbers
	spares    []found
	temps     []string
	strangers []string // what no empty directory has
}

type found struct {
	name  string
	bytes int64
	links uint64

	first  uint64 // of a segment
	blocks uint64 // of a segment, NoBlock where the name does not say
	id     uint32 // of a spare
}

// list reads a directory and changes nothing.
func list(fsys disk.FS, dir string) (l listing, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return l, err
	}
	for _, name := range names {
		info, err := fsys.Stat(dir + "/" + name)
		if err != nil {
			return l, err
		}
		l.add(name, info)
	}
	return l, nil
}

func (l *listing) add(name string, info disk.Info) {
	if !info.Mode.IsRegular() {
		if !isLitter(name, info.Mode) {
			l.strangers = append(l.strangers, name)
		}
		return
	}
	f := found{name: name, bytes: info.Bytes, links: info.Links}
	if m := segmentPattern.FindStringSubmatch(name); m != nil {
		f.first, f.blocks = parseHex(m[1]), lbs.NoBlock
		if m[2] != "" {
			f.blocks = parseHex(m[2])
		}
		l.segments = append(l.segments, f)
		return
	}
	if m := sparePattern.FindStringSubmatch(name); m != nil {
		f.id = uint32(parseHex(m[1]))
		l.spares = append(l.spares, f)
		return
	}
	switch {
	case name == formatName:
		l.record = true
	case tempPattern.MatchString(name):
		l.temps = append(l.temps, name)
	case !isLitter(name, info.Mode):
		l.strangers = append(l.strangers, name)
	}
}

// Owns says whether a file of this name in a store's directory is the store's, and
// nobody else's to write.
func Owns(name string) bool {
	return name == formatName || strings.HasPrefix(name, "seg_") || strings.HasPrefix(name, "spare_") ||
		tempPattern.MatchString(name)
}

// isLitter says whether a file may lie in a directory that counts as empty: what
// our own programs leave beside a store, and what mkfs does.
func isLitter(name string, mode fs.FileMode) bool {
	if mode.IsDir() {
		return name == "lost+found"
	}
	for _, suffix := range []string{".sock", ".pid", ".log"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return mode&fs.ModeSocket != 0
}

// parseHex reads what the patterns have matched.
func parseHex(digits string) uint64 {
	n, _ := strconv.ParseUint(digits, 16, 64)
	return n
}
