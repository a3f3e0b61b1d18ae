// Command sink is the far end of the measurements: a server that reads requests
// and drops them as cheaply as it can, so that the clients are what is
// measured. It sends the few responses of the three services and of S3 that the
// contenders wait for, on one plain and one TLS port.
//
// It prints "plain-address tls-address" and ends with its standard input. It
// writes its TLS certificate to the file that is its argument.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: sink certificate-file")
	}
	config, err := certificate(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := &sink{}
	go s.accept(plain, func(c net.Conn) net.Conn { return c })
	go s.accept(secure, func(c net.Conn) net.Conn { return tls.Server(c, config) })
	fmt.Println(plain.Addr(), secure.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// certificate returns a self-signed one for 127.0.0.1.
func certificate(file string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}

// stats is the response to GET /stats: the requests below /wait since the one
// before.
type stats struct {
	Connections int       // opened
	At          []float64 // seconds since the first request
}

type sink struct {
	mu    sync.Mutex
	stats stats
	first time.Time
	lists map[int]*listed // by their length
}

func (s *sink) accept(l net.Listener, wrap func(net.Conn) net.Conn) {
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		s.mu.Lock()
		s.stats.Connections++
		s.mu.Unlock()
		go func() {
			defer c.Close()
			s.serve(wrap(c))
		}()
	}
}

// request is what serve needs to know of a request.
type request struct {
	method, target string
	length         int64
	chunked, wait  bool // the body is chunked; the client waits for 100 Continue
	md5            string
}

func (s *sink) serve(c net.Conn) {
	in := bufio.NewReaderSize(c, 4<<10)
	var out []byte
	for {
		r, err := head(in)
		if err != nil {
			return
		}
		if r.wait {
			_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		if r.chunked {
			err = discardChunked(in)
		} else {
			err = discard(c, in, r.length)
		}
		if err != nil {
			return
		}
		kind, header, body := s.respond(r)
		out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n", kind, len(body), header)
		if _, err := c.Write(append(out, body...)); err != nil {
			return
		}
	}
}

func head(in *bufio.Reader) (request, error) {
	var r request
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return r, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if first {
			r.method, text, _ = strings.Cut(text, " ")
			r.target, _, _ = strings.Cut(text, " ")
			continue
		}
		if text == "" {
			return r, nil
		}
		name, value, _ := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if r.length, err = strconv.ParseInt(value, 10, 64); err != nil {
				return r, err
			}
		case "transfer-encoding":
			r.chunked = value == "chunked"
		case "expect":
			r.wait = true
		case "x-md5-checksum":
			r.md5 = value
		}
	}
}

// discard drops n bytes. On a plain connection the kernel does so, without
// copying them.
func discard(c net.Conn, in *bufio.Reader, n int64) error {
	buffered := min(n, int64(in.Buffered()))
	if _, err := in.Discard(int(buffered)); err != nil {
		return err
	}
	n -= buffered
	tcp, plain := c.(*net.TCPConn)
	if !plain || n == 0 {
		_, err := io.CopyN(io.Discard, in, n)
		return err
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20) // never written to
	for n > 0 {
		var got int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			got, _, readErr = syscall.Recvfrom(int(fd), buf[:min(n, int64(len(buf)))], syscall.MSG_TRUNC)
			return readErr != syscall.EAGAIN && readErr != syscall.EINTR
		})
		switch {
		case err != nil:
			return err
		case readErr != nil:
			return readErr
		case got == 0:
			return io.ErrUnexpectedEOF
		}
		n -= int64(got)
	}
	return nil
}

func discardChunked(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			return err
		}
		if n > 0 {
			if _, err := io.CopyN(io.Discard, in, n+2); err != nil {
				return err
			}
			continue
		}
		for { // the trailer
			line, err := in.ReadString('\n')
			if err != nil || strings.TrimSpace(line) == "" {
				return err
			}
		}
	}
}

const (
	jsonType = "application/json"
	xmlType  = "application/xml"
)

func (s *sink) respond(r request) (contentType, header, body string) {
	path, query, _ := strings.Cut(r.target, "?")
	switch {
	case path == "/stats":
		return jsonType, "", s.takeStats()
	case strings.HasPrefix(path, "/wait/") && (strings.HasSuffix(path, "/machineimages") || strings.HasSuffix(path, "/jobs")):
		s.count()
		return jsonType, "", s.list(path, query)
	case strings.HasPrefix(path, "/wait/"):
		s.count()
		return jsonType, "", status(path, "In Progress")
	case strings.HasPrefix(path, "/resume/") && r.method == "GET":
		return jsonType, "", status(path, "Pending")
	case strings.HasSuffix(path, "/chunk"):
		return jsonType, "", `{"uploadRequestId":"7934470","checksum":"` + r.md5 + `","uploadedChunks":1,"pendingChunks":1}`
	case strings.Contains(path, "/machineimages"):
		if r.method == "GET" {
			return jsonType, "", status(path, "Completed")
		}
		return jsonType, "", `{"message":"OK","entityId":"7934470"}`
	case strings.Contains(path, "/image_replicator/"):
		return jsonType, "", replicatorJob
	case strings.Contains(path, "/imageupdate/"):
		return jsonType, "", imageUpdate
	case strings.Contains(query, "location"):
		return xmlType, "", `<LocationConstraint></LocationConstraint>`
	case r.method == "POST" && strings.HasPrefix(query, "uploads"):
		return xmlType, "", `<InitiateMultipartUploadResult><Bucket>images</Bucket><Key>image</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>`
	case r.method == "POST":
		return xmlType, "", `<CompleteMultipartUploadResult><Bucket>images</Bucket><Key>image</Key><ETag>"0-1"</ETag></CompleteMultipartUploadResult>`
	default:
		return xmlType, "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n", ""
	}
}

// status returns the upload request whose id is the end of the path.
func status(path, state string) string {
	id := path[strings.LastIndex(path, "/")+1:]
	return strings.NewReplacer("2797087", id, `"statusName":"Completed","uploadedChunks"`, `"statusName":"`+state+`","uploadedChunks"`).
		Replace(uploadRequest)
}

func (s *sink) count() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = now
	}
	s.stats.At = append(s.stats.At, now.Sub(s.first).Seconds())
}

func (s *sink) takeStats() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.Marshal(s.stats)
	if err != nil {
		log.Fatal(err)
	}
	s.stats, s.first = stats{}, time.Time{}
	return string(data)
}

// The documented responses to the three status calls.
const (
	uploadRequest = `{"uploadRequestId":2797087,"application":"APS1826_WWP_061218","version":"OL67","operatingSystem":"Linux","fileName":"wordpress.tar.gz",` +
		`"imageFilePath":"oracle_pdc2/mi/APS1826_WWP_061218/OL67/Linux/wordpress.tar.gz","statusName":"Completed","uploadedChunks":16384,"pendingChunks":0,` +
		`"createdBy":"John Doe","createdDate":"2018-06-12T04:28:50.001Z","lastModifiedBy":"anonymous","lastModifiedDate":"2018-06-12T04:52:51.001Z","overwriteStorageFile":false,` +
		`"dataCenterImageUploadRequests":[{"dataCenterName":"US2 COMMERCIAL CHERRY","statusName":"Completed","uploadProgress":"100%",` +
		`"region":"US2 Commercial Cherry","lastUpdatedDate":"2018-06-12T04:52:51.001Z","copyUpload":false,"overwriteUpload":false,"replicaDataCenter":false}]}`
	replicatorJob = `{"copy_progress":12,"destination_image_id":"0b1e5d34-5c3c-4d0f-9c0e-0f6f4bde6a01","destination_region_id":"ot2",` +
		`"destination_tenant_id":"91b5c7c09cbd45caa3c146fd67ae471e","job_id":"33911588-c299-4369-a240-7e5b741cdb6a",` +
		`"source_image_id":"335eef3f-551d-46e1-8781-173f43209d48","source_image_name":"Test-image-Ubuntu","source_region_id":"ot1",` +
		`"source_tenant_id":"236ae314ef6944f4ab98fa7519e54325","status":"replicating"}`
	imageUpdate = `{"success":true,"updateid":4711,"jobstatename":"Running","jobstateid":4,"jobprogress":40,"joberror":null,"jobfailed":0,` +
		`"jobcreated":1700000000,"jobstart":"1700000010","jobupdated":1700000050,"jobeta":1700000120}`
)
