package main

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// parseKey reads a key as it was typed: raw, hex:DIGITS or b64:TEXT.
func parseKey(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "hex:"); ok {
		key, err := hex.DecodeString(digits)
		if err != nil {
			return nil, usagef("key %q: %v", text, err)
		}
		return key, nil
	}
	if encoded, ok := strings.CutPrefix(text, "b64:"); ok {
		// With or without padding, since some tools leave it out.
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil {
			return nil, usagef("key %q: %v", text, err)
		}
		return key, nil
	}
	return []byte(text), nil
}
