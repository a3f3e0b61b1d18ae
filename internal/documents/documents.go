// Package documents has what the four documents that the clients are made from
// print as examples: commands, requests and responses, each as it is printed.
// Tests run the commands and take their fixtures from the responses. Each file
// begins with the document's title and address.
package documents

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.txt
var files embed.FS

// The documents.
const (
	// OracleGet is Detailed Status of Machine Image Upload Request.
	OracleGet = "oracle_get"
	// OracleCreate is Create Machine Image.
	OracleCreate = "oracle_create"
	// ReplicatorGet is Get image copy job details.
	ReplicatorGet = "replicator_get"
	// MultiplayUpdateStatus is Image update status.
	MultiplayUpdateStatus = "multiplay_update_status"
)

// All returns the documents.
func All() []string { return []string{OracleGet, OracleCreate, ReplicatorGet, MultiplayUpdateStatus} }

// Title returns a document's title.
func Title(document string) string {
	head, _, _ := strings.Cut(text(document), "\n")
	return strings.TrimPrefix(head, "Title: ")
}

// Examples returns all examples of a document by name.
func Examples(document string) map[string]string {
	_, rest, _ := strings.Cut(text(document), "\n\n--- ")
	examples := map[string]string{}
	for part := range strings.SplitSeq(rest, "\n\n--- ") {
		name, example, _ := strings.Cut(part, " ---\n")
		examples[name] = strings.TrimSuffix(example, "\n")
	}
	return examples
}

// Example returns one example of a document, without the last line's end. It
// panics if there is none.
func Example(document, name string) string {
	example, ok := Examples(document)[name]
	if !ok {
		panic(fmt.Sprintf("documents: %s has no example %q", document, name))
	}
	return example
}

func text(document string) string {
	data, err := files.ReadFile(document + ".txt")
	if err != nil {
		panic("documents: " + err.Error())
	}
	return string(data)
}

// UpdateStatus returns the example response of Image update status with its
// placeholders filled in. Each value is JSON, for the field whose name is the
// key; a field that is missing is null.
func UpdateStatus(values map[string]string) string {
	response := Example(MultiplayUpdateStatus, "response")
	for _, field := range []struct{ name, placeholder string }{
		{"jobprogress", "<jobprogress>"}, {"jobstateid", "<jobstateid>"}, {"jobstart", "<jobstart>"},
		{"jobeta", "<jobbeta>"}, {"jobfailed", "<jobfailed>"}, {"jobcreated", "<jobcreated>"}, {"updateid", "<updateid>"},
		{"jobupdated", "<jobupdateid>"}, {"jobstatename", "<jobstatename>"}, // misprinted, as that of jobeta
	} {
		value, ok := values[field.name]
		if !ok {
			value = "null"
		}
		response = strings.Replace(response, field.placeholder, value, 1)
	}
	if value, ok := values["joberror"]; ok {
		response = strings.Replace(response, `"joberror": null`, `"joberror": `+value, 1)
	}
	return response
}
