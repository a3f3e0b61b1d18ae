//go:build !race

package conformance

func leftOut(int, int) bool { return false }

const huge = 20 << 20

const allocSlack = 1
