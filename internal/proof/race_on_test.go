//go:build race

package proof

// leftOut leaves two of three cells of a table out, others in each row, because everything takes ten times as long here
// and the same races show in what is left.
func leftOut(row, column int) bool { return (row+column)%3 != 0 }
