//go:build race

package conformance

// leftOut leaves three of four cells of a table out, others in each row,
// because everything takes ten times as long here and the same races show in
// what is left.
func leftOut(row, column int) bool { return (row+column)%4 != 0 }

// huge is more than is read of any response.
const huge = 9 << 20

// allocSlack is how many allocations more than counted a call may make: the
// detector empties pools by chance.
const allocSlack = 20
