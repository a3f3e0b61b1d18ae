package oraclemarket

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// chunkDigest is a digest over any number of chunks, in whatever order they are
// added: the sum of the SHA-256 of each one's number and hash, modulo 2^256.
type chunkDigest [4]uint64

func (d *chunkDigest) add(number int, hash string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", number, hash))
	var carry uint64
	for i := range d {
		d[i], carry = bits.Add64(d[i], binary.LittleEndian.Uint64(sum[8*i:]), carry)
	}
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
