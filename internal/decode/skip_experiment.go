//go:build goexperiment.jsonv2 && !go1.27

package decode

import "encoding/json/v2"

// skip is what skip.go says, where the module stands for a standard library in
// which the package was an experiment.
var skip = json.SkipFunc
