//go:build darwin || linux

package oraclemarket

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"syscall"
	"time"
)

// racy is how much older a file's last change must be than now: file
// systems have coarse clocks, and a change right after it may not show.
const racy = 2 * time.Second

// identity returns a hash that shows, by what the file system records, that a
// file has not changed: host, device, inode, size and the times of its last
// changes, of which the one of the inode cannot be set. It is empty where that
// is not certain.
func identity(info os.FileInfo, now time.Time) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	host, err := os.Hostname()
	if !ok || err != nil || !info.Mode().IsRegular() {
		return ""
	}
	changed := time.Unix(ctime(st).Unix())
	if now.Sub(changed) < racy {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d %d %d %d", host, st.Dev, st.Ino, changed.UnixNano(), info.Size(), info.ModTime().UnixNano())
	return hex.EncodeToString(h.Sum(nil)[:16])
}
