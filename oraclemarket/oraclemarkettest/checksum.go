package oraclemarkettest

import (
	"crypto/fips140"
	"crypto/md5" //nolint:gosec // the service's checksum
	"encoding/hex"
	"hash"
)

// checksum is the MD5 of what is written to it. It protects nothing, and is taken
// where FIPS 140 allows no MD5, too: an upload without checksums can be tested
// there.
type checksum struct{ md5 hash.Hash }

func newChecksum() (c checksum) {
	fips140.WithoutEnforcement(func() { c.md5 = md5.New() }) //nolint:gosec // the service's checksum
	return c
}

// Write implements [io.Writer].
func (c checksum) Write(p []byte) (n int, err error) {
	fips140.WithoutEnforcement(func() { n, err = c.md5.Write(p) })
	return n, err
}

// hex returns the sum of what was written.
func (c checksum) hex() (text string) {
	fips140.WithoutEnforcement(func() { text = hex.EncodeToString(c.md5.Sum(nil)) })
	return text
}
