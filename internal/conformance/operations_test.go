package conformance

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"slices"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// class is when an operation may be sent again, as the README's table has it.
type class int

const (
	safe       class = iota // status, list, login
	repeatable              // a numbered chunk, merge, delete, cancel
	once                    // everything else that changes something
	adopted                 // initiate and merge of an upload: List or Get decides
)

// content is what the body of an operation's response holds.
type content int

const (
	object  content = iota // JSON that identifies it
	nothing                // none is expected
	header                 // HEAD
)

// operation is one line of the table: something exported that sends requests.
type operation struct {
	pkg, name string // as in the source: "oraclemarket", "MachineImages.Get"
	of        string // which request goes wrong, where there are several
	target    string // the name of that request at the server
	class     class
	content   content
	upload    bool     // an attempt has no limit but that bytes move
	patient   bool     // transient failures are ridden out, and lag
	looks     bool     // up the result after a failure
	gated     bool     // a loop of its own sends it again, and sooner
	gets      bool     // does without, where it can never have it
	seen      bool     // that what is polled exists is known before the first poll
	asks      int      // again after a lost response, if it may
	login     bool     // the request is for a token that another call needs
	reuses    bool     // a GET over a connection that was used before
	refuses   bool     // the service puts refusals into a 2xx
	named     bool     // a header of the response identifies it
	accepts   []string // faults whose response is one of this operation
	apart     []string // faults that it has tests of its own for
	run       func(context.Context, *env) (any, error)
}

func (o *operation) String() string {
	if o.of == "" {
		return o.pkg + "." + o.name
	}
	return o.pkg + "." + o.name + ", " + o.of
}

// operations is the table.
func operations() []*operation {
	list := slices.Concat(oracleOperations(), replicatorOperations(), keystoneOperations(), multiplayOperations())
	for _, o := range list {
		if o.target == "" {
			o.target = o.name
		}
	}
	return list
}

// The secrets of these tests. No letter of the mark is ever escaped, whatever
// the encoding of a text.
const (
	mark        = "MARKEDsecret"
	tokenValue  = mark + `+token/"&<>='~%41`
	keyID       = "key-id"
	keySecret   = mark + `+key/"&<>=: '~%41`
	s3Key       = mark + `+s3/"&<>=: '~%41`
	sourceField = mark + "+steam/&"
)

// env is where an operation sends its requests.
type env struct {
	base   string
	client *http.Client
	retry  bool // WithRetry(attempts, 0, 0), for tests in real time
	logger *slog.Logger
	// observe is called with each Attempt and the header that can be seen before
	// it, nil for no calls.
	observe func(any)
	size    int64                       // of the image
	oracle  oraclemarket.TokenSource    // nil for a token that does not change
	jobs    imagereplicator.TokenSource // the same
	game    multiplay.TokenSource       // nil for a pair of keys
}

func (e *env) oracleClient(tokens oraclemarket.TokenSource) (*oraclemarket.Client, error) {
	opts := []oraclemarket.Option{
		oraclemarket.WithBaseURL(e.base), oraclemarket.WithHTTPClient(e.client), oraclemarket.WithLogger(e.logger),
	}
	if e.retry {
		opts = append(opts, oraclemarket.WithRetry(attempts, 0, 0), oraclemarket.WithOutageLimit(1))
	}
	if e.observe != nil {
		opts = append(opts, oraclemarket.WithObserver(func(_ context.Context, a oraclemarket.Attempt) { e.observe(a) }),
			oraclemarket.WithAttemptStart(func(ctx context.Context, a oraclemarket.Attempt, header http.Header) context.Context {
				e.observe(a)
				e.observe(header)
				return ctx
			}))
	}
	if tokens == nil {
		tokens = oraclemarket.StaticToken(tokenValue)
	}
	return oraclemarket.New("partner@example.com", tokens, opts...)
}

func (e *env) replicatorClient() (*imagereplicator.Client, error) {
	opts := []imagereplicator.Option{imagereplicator.WithHTTPClient(e.client), imagereplicator.WithLogger(e.logger)}
	if e.retry {
		opts = append(opts, imagereplicator.WithRetry(attempts, 0, 0), imagereplicator.WithOutageLimit(1))
	}
	if e.observe != nil {
		opts = append(opts, imagereplicator.WithObserver(func(_ context.Context, a imagereplicator.Attempt) { e.observe(a) }),
			imagereplicator.WithAttemptStart(func(ctx context.Context, a imagereplicator.Attempt, header http.Header) context.Context {
				e.observe(a)
				e.observe(header)
				return ctx
			}))
	}
	tokens := e.jobs
	if tokens == nil {
		tokens = imagereplicator.StaticToken(tokenValue)
	}
	return imagereplicator.New(e.base, tokens, opts...)
}

func (e *env) multiplayClient() (*multiplay.Client, error) {
	opts := []multiplay.Option{
		multiplay.WithBaseURL(e.base), multiplay.WithHTTPClient(e.client), multiplay.WithLogger(e.logger),
	}
	if e.retry {
		opts = append(opts, multiplay.WithRetry(attempts, 0, 0), multiplay.WithOutageLimit(1))
	}
	if e.observe != nil {
		opts = append(opts, multiplay.WithObserver(func(_ context.Context, a multiplay.Attempt) { e.observe(a) }),
			multiplay.WithAttemptStart(func(ctx context.Context, a multiplay.Attempt, header http.Header) context.Context {
				e.observe(a)
				e.observe(header)
				return ctx
			}))
	}
	if e.game != nil {
		return multiplay.New(multiplay.BearerToken(e.game), opts...)
	}
	return multiplay.New(multiplay.AccessKey(1, keyID, keySecret), opts...)
}

type (
	oc = *oraclemarket.Client
	js = *imagereplicator.JobsService
	mc = *multiplay.Client
)

func oracle[T any](call func(context.Context, oc) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.oracleClient(e.oracle)
		if err != nil {
			return nil, err
		}
		return call(ctx, c)
	}
}

func jobs[T any](call func(context.Context, js) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.replicatorClient()
		if err != nil {
			return nil, err
		}
		return call(ctx, c.Jobs)
	}
}

func game[T any](call func(context.Context, mc) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.multiplayClient()
		if err != nil {
			return nil, err
		}
		return call(ctx, c)
	}
}

// collect returns all that a sequence yields.
func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}
