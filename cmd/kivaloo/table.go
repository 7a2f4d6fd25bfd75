package main

import (
	"slices"

	"github.com/spf13/pflag"
)

// A command is a subcommand of the program.
type command struct {
	name     string
	operands string // as in the synopsis
	short    string
	long     string
	examples []string
	min, max int // number of operands

	// setup declares the flags and answers what runs with the operands.
	setup func(flags *pflag.FlagSet) func(e *env, args []string) error
}

// commands is the whole program, in the order of help. It is a function since
// help, one of the commands, reads it.
func commands() []*command {
	return slices.Concat(serverCommands(), nativeCommands(), measuringCommands(), aboutCommands())
}

func serverCommands() []*command {
	return []*command{
		{
			name: "mount", operands: "DIR MNT", min: 2, max: 2, setup: setupMount,
			short: "mount the store in DIR at MNT and serve its socket",
			long: `Mounts the store in DIR at MNT, and serves native clients at DIR/kivaloo.sock, or
at each --socket. DIR and MNT are created if they are missing. Returns when the
mount answers; the server stays in the background and logs to DIR/kivaloo.log.
After a crash, the same command clears the dead mount of this store and the stale
socket. MNT must be empty, and no FUSE file system may be mounted there.

SIGTERM and SIGINT make the server unmount, commit and exit, as "kivaloo umount"
does. While files are open the mount stays; a second signal detaches it. With
--foreground, the exit code says whether the last commit and the stop went well.`,
			examples: []string{
				"kivaloo mount /var/lib/store /mnt",
				"kivaloo mount -f --socket /run/store.sock /var/lib/store /mnt",
			},
		},
		{
			name: "umount", operands: "MNT", min: 1, max: 1, setup: setupUmount,
			short: "unmount MNT and wait for the last commit",
			long: `Unmounts MNT and returns when its server has committed everything and ended. If
the last commit or the clean stop failed, it says so, with the exit code that fits
(10 for a disk that is full or broken). A mount whose server is gone is cleared.`,
			examples: []string{"kivaloo umount /mnt"},
		},
		{
			name: "serve", operands: "DIR", min: 1, max: 1, setup: setupServe,
			short: "serve the socket of the store in DIR, without a mount",
			long: `Serves the store in DIR, which is created if it is missing, to native clients at
DIR/kivaloo.sock, or at each --socket. Returns when clients can connect; the
server stays in the background and logs to DIR/kivaloo.log.`,
			examples: []string{"kivaloo serve /var/lib/store", "kivaloo serve -f --socket 127.0.0.1:7000 /var/lib/store"},
		},
	}
}

func nativeCommands() []*command {
	return []*command{
		{
			name: "get", operands: "KEY", min: 1, max: 1, setup: setupGet,
			short:    "write the value of KEY to standard output",
			long:     "Writes the value as it is, without a newline.\n\n" + keyHelp,
			examples: []string{"kivaloo get -s store/kivaloo.sock users/alice/email", "kivaloo get hex:00ff"},
		},
		{
			name: "set", operands: "KEY VALUE|-", min: 2, max: 2, setup: setupSet,
			short: "set the value of KEY",
			long: `Returns when the value is on disk. The value - is read from standard input.

` + keyHelp,
			examples: []string{"kivaloo set users/alice/email alice@example.org",
				"printf -- -5 | kivaloo set balance -", "kivaloo set --if-value 1 counter 2"},
		},
		{
			name: "del", operands: "KEY", min: 1, max: 1, setup: setupDel,
			short:    "delete KEY",
			long:     "Returns when the deletion is on disk. There need be no such key.\n\n" + keyHelp,
			examples: []string{"kivaloo del users/alice/email", "kivaloo del -- -odd-key"},
		},
		{
			name: "range", operands: "[START [END]]", min: 0, max: 2, setup: setupRange,
			short: "list pairs with START <= key < END, in order",
			long: `Writes a line for each pair: key, tab, value. With --null, key and value end with
a zero byte each instead. With --json, each line is an object
{"key": K, "value": V}, where K and V are strings if they are valid UTF-8, and
{"b64": "..."} if not; more members may be added later.

` + keyHelp,
			examples: []string{"kivaloo range", "kivaloo range --prefix users/ --keys-only", "kivaloo range --json a b"},
		},
	}
}

func measuringCommands() []*command {
	return []*command{
		{
			name: "bench", setup: setupBench,
			short: "measure a store in this process, or a server",
			long: `Measures a store with the six workloads of the original kivaloo's benchmarks, and
then durable puts by 1, 16 and 64 writers, batches, and a scan: in this process
with --dir, or through the socket of any server of protocol v1, the original's too.
The store must be empty, or hold only what an earlier run has left.

Prints lines as "go test -bench" does, which benchstat compares. Every answer is
checked; a wrong one ends the run with exit code 1. Workloads: BulkInsert, BulkUpdate,
BulkExtract, RandomRead, RandomMixed, HotSpotRead, DurablePut/writers=1 (16, 64),
BatchInsert, BatchUpdate, Scan, BatchMixed.`,
			examples: []string{"kivaloo bench --dir /tmp/new", "kivaloo bench -s store/kivaloo.sock --run bulk,random"},
		},
	}
}

func aboutCommands() []*command {
	return []*command{
		{
			name: "version", setup: setupVersion,
			short: "print the version",
			long:  "Prints the version, the commit it was built from, and the protocols it speaks.",
		},
		{
			name: "help", operands: "[CMD]", min: 0, max: 1, setup: setupHelp,
			short:    "explain a command",
			long:     "Explains a command, or lists all of them.",
			examples: []string{"kivaloo help mount"},
		},
	}
}

// keyHelp is said wherever keys are typed.
const keyHelp = `A key is taken as it is typed, or as hex:DIGITS or b64:TEXT. One that begins with
hex: or b64: itself must be written so. An operand that begins with - comes after --.
Protocol v1 carries keys and values of at most 255 bytes.`

func findCommand(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}
