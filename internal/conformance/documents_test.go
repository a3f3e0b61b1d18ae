package conformance

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/documents"
)

// Each statement of the documents names tests that exist, and whatever has a
// name in their examples is in a statement.
func TestStatementsHaveTests(t *testing.T) {
	text, err := os.ReadFile("DOCUMENTS.md")
	require.NoError(t, err)
	intro, _, _ := strings.Cut(string(text), "\n## ")
	known, total := testsOf{}, 0
	for _, document := range documents.All() {
		_, section, ok := strings.Cut(string(text), "\n## "+documents.Title(document)+"\n")
		require.True(t, ok, documents.Title(document))
		section, _, _ = strings.Cut(section, "\n## ")
		var named strings.Builder
		n := 0
		for line := range strings.Lines(section) {
			cells := strings.Split(strings.TrimSpace(line), "|")
			if len(cells) != 5 || cells[1] == " --- " || cells[2] == " statement " {
				require.False(t, strings.HasPrefix(line, "|") && len(cells) != 5, line)
				continue
			}
			n++
			require.Equal(t, strconv.Itoa(n), strings.TrimSpace(cells[1]), line)
			require.NotEmpty(t, strings.TrimSpace(cells[2]), line)
			known.require(t, cells[3], line)
			named.WriteString(cells[2])
		}
		require.Positive(t, n, "the table is not found")
		total += n
		for name := range namesIn(document) {
			require.Contains(t, named.String(), "`"+name, "an example of %q has %s, and no statement", documents.Title(document), name)
		}
	}
	require.Contains(t, intro, strconv.Itoa(total)+" statements")
}

var (
	jsonName   = regexp.MustCompile(`"([A-Za-z_ ]+)"\s*:`)
	headerName = regexp.MustCompile(`(?m)(?:^|-H "|--header ')([A-Z][\w-]+): `)
	statusCode = regexp.MustCompile(`(?m)^(?:HTTP/1.1 )?(\d{3}) [A-Z]`)
	formName   = regexp.MustCompile(`(?m)^(\w+) ?: [{F]`)
	queryName  = regexp.MustCompile(`[?&](\w+)=`)
)

// namesIn returns the members, headers, parameters and fields of a document's
// examples, and their statuses.
func namesIn(document string) map[string]bool {
	names := map[string]bool{}
	for _, example := range documents.Examples(document) {
		for _, name := range []*regexp.Regexp{jsonName, headerName, statusCode, formName, queryName} {
			for _, found := range name.FindAllStringSubmatch(example, -1) {
				names[found[1]] = true
			}
		}
	}
	return names
}

func TestNamesInExamples(t *testing.T) {
	for document, want := range map[string][]string{
		documents.OracleGet:             {"uploadRequestId", "copyUpload", "X-Oracle-UserId", "200"},
		documents.OracleCreate:          {"entityId", "application", "file", "json", "uploadType", "X-Number-Of-Chunks", "200"},
		documents.ReplicatorGet:         {"source_image id", "source_image_id", "Vary", "401", "X-Auth-Token"},
		documents.MultiplayUpdateStatus: {"jobprogress", "updateid", "accountserviceid", "Authorization"},
	} {
		for _, name := range want {
			require.True(t, namesIn(document)[name], name)
		}
	}
}
