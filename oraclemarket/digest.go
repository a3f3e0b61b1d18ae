package oraclemarket

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
)

// chunkDigest is a digest over any number of chunks, in whatever order they are
// added: the sum of the SHA-256 of each one's number and hash, modulo 2^256.
type chunkDigest [4]uint64

func (d *chunkDigest) add(number int, hash string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", number, hash))
	var other chunkDigest
	for i := range other {
		other[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	d.sum(other)
}

// sum adds a digest over other chunks.
func (d *chunkDigest) sum(other chunkDigest) {
	var carry uint64
	for i := range d {
		d[i], carry = bits.Add64(d[i], other[i], carry)
	}
}

// label returns the digest with the name of the hash that it is made of.
func (d *chunkDigest) label(sha bool) string {
	text, _ := d.MarshalText() // never fails
	if sha {
		return "sha256:" + string(text)
	}
	return "md5:" + string(text)
}

// parseDigest is the reverse of label.
func parseDigest(text string) (d chunkDigest, sha bool, err error) {
	name, sum, _ := strings.Cut(text, ":")
	if name != "md5" && name != "sha256" {
		return d, false, fmt.Errorf("%q is not the name of its hash", name)
	}
	err = d.UnmarshalText([]byte(sum))
	return d, name == "sha256", err
}

// MarshalText implements encoding.TextMarshaler.
func (d *chunkDigest) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(d))
	for _, word := range d {
		raw = binary.LittleEndian.AppendUint64(raw, word)
	}
	return hex.AppendEncode(nil, raw), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *chunkDigest) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != 8*len(d) {
		return fmt.Errorf("%d bytes are not a digest", len(text))
	}
	for i := range d {
		d[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return nil
}
