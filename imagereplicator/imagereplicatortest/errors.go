package imagereplicatortest

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// writeUnauthorized writes the one error response that the documentation shows.
// The text is printed without its line ends; two line feeds after it make up
// the 44 bytes of its Content-Length.
func writeUnauthorized(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("Vary", "X-Auth-Token")
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("401 Unauthorized\n\nAuthentication required.\n\n"))
}

// writeWebob writes an error response as WebOb does, the library behind Glance,
// in the form that the Accept header asks for.
func writeWebob(w http.ResponseWriter, r *http.Request, status int, text string) {
	title := http.StatusText(status)
	line := fmt.Sprintf("%d %s", status, title)
	accept := r.Header.Get("Accept")
	var contentType, body string
	switch {
	case strings.Contains(accept, "json"):
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		emulator.WriteJSON(w, status, map[string]string{
			"message": text + "<br /><br />\n\n\n",
			"code":    line,
			"title":   title,
		})
		return
	case strings.Contains(accept, "html"), strings.Contains(accept, "*/*"):
		contentType = "text/html; charset=UTF-8"
		body = fmt.Sprintf("<html>\n <head>\n  <title>%s</title>\n </head>\n <body>\n  <h1>%s</h1>\n  %s<br /><br />\n\n\n\n </body>\n</html>",
			line, line, html.EscapeString(text))
	default:
		contentType = "text/plain; charset=UTF-8"
		body = line + "\n\n" + text + "\n\n   "
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// writeKeystoneError writes an error response of Keystone.
func writeKeystoneError(w http.ResponseWriter, r *http.Request, status int, text string) {
	w.Header().Set("Vary", "X-Auth-Token")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", "http://"+r.Host+"/v3"))
	}
	emulator.WriteJSON(w, status, map[string]any{"error": map[string]any{
		"code":    status,
		"title":   http.StatusText(status),
		"message": text,
	}})
}
