package fusefs_test

import (
	"sort"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// posixSkipped are go-fuse's tests of what the mount does not do.
var posixSkipped = map[string]string{
	"Link":                "hard links are refused with EPERM",
	"LinkUnlinkRename":    "hard links are refused with EPERM",
	"Fallocate":           "fallocate is refused with EOPNOTSUPP",
	"FallocateKeepSize":   "fallocate is refused with EOPNOTSUPP",
	"Tmpfile":             "O_TMPFILE is refused with EOPNOTSUPP",
	"FcntlFlockLocksFile": "wants a process to be in its own way, which POSIX locks are not: it fails on ext4 too",
}

func TestPosix(t *testing.T) {
	var names []string
	for name := range posixtest.All {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if why := posixSkipped[name]; why != "" {
				t.Skip(why)
			}
			posixtest.All[name](t, newMount(t).dir)
		})
	}
}
