package multiplaytest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The older authentication: AWS Signature Version 4, with this region and
// service.
const (
	aws4  = "AWS4-HMAC-SHA256"
	scope = "/eu-west-1/cf/aws4_request"
)

// signed reports whether the request has a signature made with the keys. Its
// date is not compared with the clock.
func (s *Server) signed(r *http.Request) bool {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), aws4), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	date := r.Header.Get("X-Amz-Date") // 20060102T150405Z
	day, _, _ := strings.Cut(date, "T")
	if fields["Credential"] != s.AccessKey+"/"+day+scope || !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") {
		return false
	}
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	const ofNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // no request has a body
	canonical := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), canonicalQuery(r.URL.Query()), headers.String(), fields["SignedHeaders"], ofNothing,
	}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + s.SecretKey)
	for part := range strings.SplitSeq(day+scope, "/") {
		key = mac(key, part)
	}
	want := hex.EncodeToString(mac(key, aws4+"\n"+date+"\n"+day+scope+"\n"+hex.EncodeToString(sum[:])))
	return equal(fields["Signature"], want)
}

// canonicalQuery returns the parameters sorted, and encoded as RFC 3986 has it.
func canonicalQuery(query url.Values) string {
	return strings.ReplaceAll(query.Encode(), "+", "%20")
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
