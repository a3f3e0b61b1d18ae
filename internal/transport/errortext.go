package transport

import (
	"encoding/json"
	"html"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// ErrorText derives a code and a message from the body of an error answer.
// Services and the proxies before them send JSON of several shapes, text, HTML
// and XML; none of them is an error here, the worst case is no message.
func ErrorText(contentType string, body []byte) (code, message string) {
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	if strings.HasPrefix(text, "{") {
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) == nil {
			code, message = fromObject(object, 0)
			return tidy(code), tidy(message)
		}
	}
	media, _, _ := mime.ParseMediaType(contentType)
	if strings.HasPrefix(text, "<") || strings.HasSuffix(media, "html") || strings.HasSuffix(media, "xml") {
		text = stripTags(text)
	}
	return "", tidy(text)
}

// Names under which services put message and code, the telling ones first.
var (
	messageNames = []string{"message", "error_message", "errorMessage", "faultstring", "detail", "error_description", "title"}
	codeNames    = []string{"code", "error_code", "errorCode", "errorcode"}
	nestedNames  = []string{"error", "fault", "detail"}
)

func fromObject(object map[string]any, depth int) (code, message string) {
	const deepest = 4
	if depth > deepest {
		return "", ""
	}
	for _, name := range nestedNames {
		if inner, ok := object[name].(map[string]any); ok {
			c, m := fromObject(inner, depth+1)
			code, message = first(code, c), first(message, m)
		}
	}
	for _, name := range messageNames {
		message = first(message, scalar(object[name]))
	}
	for _, name := range codeNames {
		code = first(code, scalar(object[name]))
	}
	if text, ok := object["error"].(string); ok {
		if message == "" {
			message = text
		} else {
			code = first(code, text) // OAuth: error_description is the message
		}
	}
	if message == "" && len(object) == 1 {
		for _, only := range object {
			if inner, ok := only.(map[string]any); ok {
				return fromObject(inner, depth+1)
			}
		}
	}
	return code, message
}

func first(have, other string) string {
	if have != "" {
		return have
	}
	return other
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(stripTags(v))
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return ""
	}
}

var (
	invisible = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)\s*>|<!--.*?-->`)
	headTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title\s*>`)
	tag       = regexp.MustCompile(`(?s)</?[a-zA-Z!?][^>]*>`)
)

// stripTags leaves the words of HTML or XML.
func stripTags(text string) string {
	if !strings.Contains(text, "<") {
		return text
	}
	visible := tag.ReplaceAllString(invisible.ReplaceAllString(text, " "), " ")
	if strings.TrimSpace(visible) == "" {
		if m := headTitle.FindStringSubmatch(text); m != nil {
			visible = m[1]
		}
	}
	return html.UnescapeString(visible)
}

// tidy keeps a message readable: on one line, without what a terminal would
// act upon, and short however much a proxy sent.
func tidy(text string) string {
	const most = 500
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
