package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"kivaloo/kvstore/client"
	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

const socketVar = "KIVALOO_SOCKET"

// A native command talks to a running server.
type native struct{ socket string }

func (n *native) declare(flags *pflag.FlagSet) {
	flags.StringVarP(&n.socket, "socket", "s", "", "`ADDR` of the server: a path, host:port or [ip]:port (default $"+socketVar+")")
}

// with runs f on a connection, until it ends or the user interrupts it.
func (n *native) with(e *env, f func(ctx context.Context, c *client.Client) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	c, err := n.dial(ctx, e)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, c), c.Close())
}

func (n *native) dial(ctx context.Context, e *env) (*client.Client, error) {
	addr := n.socket
	if addr == "" {
		addr = e.getenv(socketVar)
	}
	if addr == "" {
		return nil, usagef("which server? Give --socket, or set %s", socketVar)
	}
	return client.Dial(ctx, addr, client.Options{})
}

func setupGet(flags *pflag.FlagSet) func(*env, []string) error {
	var n native
	n.declare(flags)
	return func(e *env, args []string) error {
		key, err := parseKey(args[0])
		if err != nil {
			return err
		}
		return n.with(e, func(ctx context.Context, c *client.Client) error {
			value, err := n.valueOf(ctx, e, c, key)
			if err != nil {
				return fmt.Errorf("get %s: %w", args[0], err)
			}
			_, err = e.stdout.Write(value)
			return err
		})
	}
}

// A condition is what must hold for a write to be done: at most one flag.
type condition struct {
	absent, present bool
	value           string
	flags           *pflag.FlagSet
}

func (c *condition) hasValue() bool { return c.flags.Changed("if-value") }

func setupSet(flags *pflag.FlagSet) func(*env, []string) error {
	var n native
	cond := condition{flags: flags}
	n.declare(flags)
	flags.BoolVar(&cond.absent, "if-absent", false, "only if there is no such key")
	flags.BoolVar(&cond.present, "if-present", false, "only if there is such a key")
	flags.StringVar(&cond.value, "if-value", "", "only if the value is `OLD`")
	return func(e *env, args []string) error {
		if boolToInt(cond.absent)+boolToInt(cond.present)+boolToInt(cond.hasValue()) > 1 {
			return usagef("set: only one of --if-absent, --if-present and --if-value")
		}
		key, err := parseKey(args[0])
		if err != nil {
			return err
		}
		value, err := readValue(e.stdin, args[1])
		if err != nil {
			return err
		}
		return n.with(e, func(ctx context.Context, c *client.Client) error {
			done, err := cond.set(ctx, c, key, value)
			return outcome("set "+args[0], done, err)
		})
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *condition) set(ctx context.Context, to *client.Client, key, value []byte) (done bool, err error) {
	switch {
	case c.absent:
		return to.Add(ctx, key, value)
	case c.present:
		return to.Modify(ctx, key, value)
	case c.hasValue():
		return to.CAS(ctx, key, []byte(c.value), value)
	}
	return true, to.Set(ctx, key, value)
}

func outcome(what string, done bool, err error) error {
	if err == nil && !done {
		err = kv.ErrCondition
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// readValue is the value as typed, or standard input for "-". It reads no more
// than it takes to see that it is too much.
func readValue(stdin io.Reader, text string) ([]byte, error) {
	if text != "-" {
		return []byte(text), nil
	}
	value, err := io.ReadAll(io.LimitReader(stdin, wire.StringMax+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(value) > wire.StringMax {
		return nil, fmt.Errorf("standard input: %w: protocol v1 carries values of at most %d bytes", kv.ErrTooLarge, wire.StringMax)
	}
	return value, nil
}

func setupDel(flags *pflag.FlagSet) func(*env, []string) error {
	var n native
	cond := condition{flags: flags}
	n.declare(flags)
	flags.StringVar(&cond.value, "if-value", "", "only if the value is `OLD`")
	return func(e *env, args []string) error {
		key, err := parseKey(args[0])
		if err != nil {
			return err
		}
		return n.with(e, func(ctx context.Context, c *client.Client) error {
			done, err := true, error(nil)
			if cond.hasValue() {
				done, err = c.CAD(ctx, key, []byte(cond.value))
			} else {
				err = c.Delete(ctx, key)
			}
			return outcome("del "+args[0], done, err)
		})
	}
}
