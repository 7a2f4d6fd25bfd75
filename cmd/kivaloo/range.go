package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"kivaloo/kvstore/client"
	"kivaloo/kvstore/kv"
)

// A rangeCommand is what "kivaloo range" was asked for.
type rangeCommand struct {
	native
	prefix         string
	limit          int
	keysOnly       bool
	null, jsonText bool
}

func setupRange(flags *pflag.FlagSet) func(*env, []string) error {
	var r rangeCommand
	r.declare(flags)
	flags.StringVar(&r.prefix, "prefix", "", "only keys that begin with `KEY`")
	flags.IntVar(&r.limit, "limit", 0, "at most `N` pairs; 0: all")
	flags.BoolVar(&r.keysOnly, "keys-only", false, "leave the values out")
	flags.BoolVar(&r.null, "null", false, "end each key and value with a zero byte")
	flags.BoolVar(&r.jsonText, "json", false, "a JSON object a line")
	return func(e *env, args []string) error {
		if r.limit < 0 || r.null && r.jsonText {
			return usagef("range: a limit below 0, or --null together with --json")
		}
		req, err := r.bounds(flags.Changed("prefix"), args)
		if err != nil {
			return err
		}
		return r.with(e, func(ctx context.Context, c *client.Client) error {
			out := bufio.NewWriter(e.stdout)
			return errors.Join(r.list(ctx, e, c, req, out), out.Flush())
		})
	}
}

// bounds makes a scan of --prefix or of the operands.
func (r *rangeCommand) bounds(prefixed bool, args []string) (kv.ScanRequest, error) {
	req := kv.ScanRequest{Want: kv.WantValue, Limit: r.limit}
	if prefixed {
		prefix, err := parseKey(r.prefix)
		if err == nil && len(args) > 0 {
			err = usagef("range: either --prefix or START and END")
		}
		req.Start, req.End = prefix, kv.PrefixEnd(prefix)
		return req, err
	}
	var err error
	if len(args) > 0 {
		req.Start, err = parseKey(args[0])
	}
	if len(args) > 1 && args[1] != "" && err == nil { // an empty END is none
		req.End, err = parseKey(args[1])
	}
	return req, err
}

func (r *rangeCommand) list(ctx context.Context, e *env, c *client.Client, req kv.ScanRequest, out io.Writer) error {
	left := r.limit
	for more := true; more; {
		page, err := c.Scan(ctx, req)
		if err != nil {
			return fmt.Errorf("range: %w", r.stopped(ctx, e, &req, err))
		}
		for i := range page.Entries {
			if err := r.write(out, &page.Entries[i]); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		req.Start, more = page.Next, page.More
	}
	return nil
}

func (r *rangeCommand) write(out io.Writer, pair *kv.Pair) error {
	var line []byte
	switch {
	case r.jsonText:
		return r.writeJSON(out, pair)
	case r.null:
		line = append(append(line, pair.Key...), 0)
		if !r.keysOnly {
			line = append(append(line, pair.Value...), 0)
		}
	default:
		line = append(line, pair.Key...)
		if !r.keysOnly {
			line = append(append(line, '\t'), pair.Value...)
		}
		line = append(line, '\n')
	}
	_, err := out.Write(line)
	return err
}

func (r *rangeCommand) writeJSON(out io.Writer, pair *kv.Pair) error {
	var line struct {
		Key   any `json:"key"`
		Value any `json:"value,omitempty"`
	}
	line.Key = jsonBytes(pair.Key)
	if !r.keysOnly {
		line.Value = jsonBytes(pair.Value)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // nobody reads this in a browser
	return encoder.Encode(line)
}

// jsonBytes is bytes as a JSON string, if that is what they are.
func jsonBytes(b []byte) any {
	if utf8.Valid(b) {
		return string(b)
	}
	return struct {
		B64 []byte `json:"b64"`
	}{b}
}
