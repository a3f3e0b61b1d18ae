//go:build !race

package oraclemarket_test

// raceDetector tells that memory is not what it would be.
const raceDetector = false
