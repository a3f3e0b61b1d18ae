//go:build race

package oraclemarket_test

// raceDetector reports whether memory is not what it would be.
const raceDetector = true
