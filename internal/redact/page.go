package redact

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// Line returns text as one line that is safe to print: white space, control and
// bidirectional characters become single spaces, and after 500 bytes it ends
// with "…".
func Line(text string) string {
	const limit = 500
	text = singleSpaced(text)
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

func singleSpaced(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// PageText returns the visible words of an HTML or XML page, or its title if
// there are none. A text without a tag is no page and returned as it is.
func PageText(text string) string {
	if !strings.Contains(text, "<") {
		return text
	}
	var words, title []string
	page := html.NewTokenizer(strings.NewReader(text))
	page.AllowCDATA(true)
	element := "" // that the next text belongs to
	for {
		switch token := page.Next(); token {
		case html.ErrorToken:
			// What is left starts like a tag and does not end.
			words = append(words, strings.Fields(string(page.Raw()))...)
			if len(words) == 0 {
				words = title
			}
			return strings.Join(words, " ")
		case html.SelfClosingTagToken:
			page.NextIsNotRawText() // as in XML
			element = ""
		case html.StartTagToken:
			name, _ := page.TagName()
			element = string(name)
		case html.TextToken:
			switch element {
			case "script", "style", "iframe", "noembed", "noframes", "noscript": // not seen, or not parsed
			case "title":
				title = strings.Fields(string(page.Text()))
			default:
				words = append(words, strings.Fields(string(page.Text()))...)
			}
			element = ""
		case html.EndTagToken, html.CommentToken, html.DoctypeToken:
			element = ""
		}
	}
}
