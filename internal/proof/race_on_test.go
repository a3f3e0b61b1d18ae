//go:build race

package proof

// raceDetector makes everything many times slower.
const raceDetector = true
