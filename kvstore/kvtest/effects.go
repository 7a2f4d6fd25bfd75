package kvtest

import (
	"fmt"
	"strings"

	"kivaloo/kvstore/kv"
)

// Effects and guards as the tests write them.

func put(key, value string) kv.Effect {
	return kv.Effect{Op: kv.Put, Key: []byte(key), Value: []byte(value)}
}

func patch(key string, offset int64, value string) kv.Effect {
	return kv.Effect{Op: kv.Patch, Key: []byte(key), Offset: offset, Value: []byte(value)}
}

func appendTo(key, value string) kv.Effect {
	return kv.Effect{Op: kv.Append, Key: []byte(key), Value: []byte(value)}
}

func truncate(key string, length int64) kv.Effect {
	return kv.Effect{Op: kv.Truncate, Key: []byte(key), Length: length}
}

func punch(key string, offset, length int64) kv.Effect {
	return kv.Effect{Op: kv.Punch, Key: []byte(key), Offset: offset, Length: length}
}

func copyRange(key string, offset, length int64, to string, toOffset int64) kv.Effect {
	return kv.Effect{Op: kv.CopyRange, Key: []byte(key), Offset: offset, Length: length, To: []byte(to), ToOffset: toOffset}
}

func del(key string) kv.Effect { return kv.Effect{Op: kv.Delete, Key: []byte(key)} }

func delPrefix(key string) kv.Effect { return kv.Effect{Op: kv.DeletePrefix, Key: []byte(key)} }

func move(key, to string) kv.Effect {
	return kv.Effect{Op: kv.Move, Key: []byte(key), To: []byte(to)}
}

func movePrefix(key, to string) kv.Effect {
	return kv.Effect{Op: kv.MovePrefix, Key: []byte(key), To: []byte(to)}
}

func link(key, to string) kv.Effect {
	return kv.Effect{Op: kv.Link, Key: []byte(key), To: []byte(to)}
}

func setMeta(key, meta string) kv.Effect {
	return kv.Effect{Op: kv.SetMeta, Key: []byte(key), Meta: []byte(meta)}
}

// withMeta has an effect set the metadata too.
func withMeta(e kv.Effect, meta string) kv.Effect {
	e.SetMeta, e.Meta = true, []byte(meta)
	return e
}

// fresh has a put drop what is there.
func fresh(e kv.Effect) kv.Effect {
	e.Fresh = true
	return e
}

// bringing has an effect bring its stamps; 0: it does not.
func bringing(e kv.Effect, birth, modified kv.Stamp) kv.Effect {
	e.Birth, e.Modified = birth, modified
	return e
}

// in has an effect act in another space.
func in(space kv.Space, e kv.Effect) kv.Effect {
	e.Space = space
	return e
}

func guard(op kv.GuardOp, key string) kv.Guard { return kv.Guard{Op: op, Key: []byte(key)} }

func equals(key, value string) kv.Guard {
	return kv.Guard{Op: kv.ValueEquals, Key: []byte(key), Value: []byte(value)}
}

func stamped(op kv.GuardOp, key string, s kv.Stamp) kv.Guard {
	return kv.Guard{Op: op, Key: []byte(key), Stamp: s}
}

func guarded(effects []kv.Effect, guards ...kv.Guard) kv.Txn {
	return kv.Txn{Guards: guards, Effects: effects}
}

func effects(e ...kv.Effect) []kv.Effect { return e }

// needsOf is what a store needs to carry out effects one by one.
func needsOf(effects []kv.Effect) (f Feature) {
	for i := range effects {
		e := &effects[i]
		switch e.Op {
		case kv.Patch, kv.Append, kv.Truncate, kv.Punch, kv.CopyRange:
			f |= Parts
		case kv.DeletePrefix, kv.Move, kv.MovePrefix:
			f |= Names
		case kv.Link:
			f |= Links
		}
		if e.SetMeta || e.Op == kv.SetMeta {
			f |= Metadata
		}
		if e.Fresh || e.Birth != 0 || e.Modified != 0 {
			f |= Stamps
		}
		if e.Space != kv.User {
			f |= Spaces
		}
		if len(e.Key) > 255 || len(e.To) > 255 || len(e.Value) > 255 || e.Offset > 255 {
			f |= Large
		}
	}
	return f
}

var guardNames = [...]string{kv.Absent: "absent", kv.Present: "present", kv.ValueEquals: "value equals",
	kv.VersionEquals: "version equals", kv.BirthEquals: "birth equals", kv.PrefixEmpty: "prefix empty"}

var effectNames = [...]string{kv.Put: "put", kv.Patch: "patch", kv.Append: "append", kv.Truncate: "truncate",
	kv.Punch: "punch", kv.CopyRange: "copy range", kv.Delete: "delete", kv.DeletePrefix: "delete prefix", kv.Move: "move",
	kv.MovePrefix: "move prefix", kv.SetMeta: "set meta", kv.Link: "link"}

// describe is a transaction for a message.
func describe(txn *kv.Txn) string {
	var s strings.Builder
	for _, g := range txn.Guards {
		fmt.Fprintf(&s, "if %s of %s, %d, %s; ", guardNames[g.Op], short(string(g.Key)), g.Stamp, short(string(g.Value)))
	}
	for i, e := range txn.Effects {
		fmt.Fprintf(&s, "%d: %s %s", i, effectNames[e.Op], short(string(e.Key)))
		fmt.Fprintf(&s, " to %s, at %d, %d bytes, to %d, value %s;", short(string(e.To)), e.Offset, e.Length, e.ToOffset, short(string(e.Value)))
		fmt.Fprintf(&s, " space %d, staged %d, fresh %v, birth %d, modified %d, meta %v %s. ", e.Space, len(e.Staged), e.Fresh, e.Birth, e.Modified, e.SetMeta, short(string(e.Meta)))
	}
	return s.String()
}
