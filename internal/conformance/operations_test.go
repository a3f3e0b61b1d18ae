package conformance

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// class is when an operation may be sent again, as the README's table has it.
type class int

const (
	safe       class = iota // status, list, login
	repeatable              // a numbered chunk, merge, delete, cancel
	once                    // everything else that changes something
	adopted                 // the first request of an upload: not repeated before List has told that it must be
)

// content is what an operation makes of an answer's body.
type content int

const (
	decoded content = iota // JSON
	ignored                // the status says it all, unless a page of something in between comes with it
	none                   // HEAD
)

// nulls is what an operation makes of an answer in which every value is null.
type nulls int

const (
	accepted   nulls = iota // all fields are zero
	unreadable              // it lacks an id
	refused                 // it is an answer, but one that will not do
	unfinished              // the job has not ended, so it is asked about again
)

// operation is one line of the table: something exported that sends requests.
type operation struct {
	pkg, name string // as in the source: "oraclemarket", "MachineImages.Get"
	of        string // which of several requests goes wrong, where it is not the only one
	target    string // the name of that request at the server
	class     class
	upload    bool // no limit on a try but that bytes move
	login     bool // the request is made for a token that another needs
	reuses    bool // it is a GET over a connection that was used before
	content   content
	nulls     nulls
	run       func(context.Context, *env) (any, error)
}

func (o *operation) String() string {
	if o.of == "" {
		return o.pkg + "." + o.name
	}
	return o.pkg + "." + o.name + ", " + o.of
}

// The secrets of these tests. No letter of the mark is ever escaped, whatever the way in which a text is encoded.
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
	retry  bool // WithRetry(tries, 0, 0), for tests in real time
	logger *slog.Logger
	oracle oraclemarket.TokenSource    // nil for a token that does not change
	jobs   imagereplicator.TokenSource // the same
}

// tries is the default of WithRetry, as the README has it.
const tries = 5

func (e *env) oracleClient(tokens oraclemarket.TokenSource) (*oraclemarket.Client, error) {
	opts := []oraclemarket.Option{
		oraclemarket.WithBaseURL(e.base), oraclemarket.WithHTTPClient(e.client), oraclemarket.WithLogger(e.logger),
	}
	if e.retry {
		opts = append(opts, oraclemarket.WithRetry(tries, 0, 0))
	}
	if tokens == nil {
		tokens = oraclemarket.StaticToken(tokenValue)
	}
	return oraclemarket.New("partner@example.com", tokens, opts...)
}

func (e *env) replicatorClient() (*imagereplicator.Client, error) {
	opts := []imagereplicator.Option{imagereplicator.WithHTTPClient(e.client), imagereplicator.WithLogger(e.logger)}
	if e.retry {
		opts = append(opts, imagereplicator.WithRetry(tries, 0, 0))
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
		opts = append(opts, multiplay.WithRetry(tries, 0, 0))
	}
	return multiplay.New(multiplay.AccessKey(1, keyID, keySecret), opts...)
}

func oracle[T any](call func(context.Context, *oraclemarket.Client) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.oracleClient(e.oracle)
		if err != nil {
			return nil, err
		}
		return call(ctx, c)
	}
}

func jobs[T any](call func(context.Context, *imagereplicator.JobsService) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.replicatorClient()
		if err != nil {
			return nil, err
		}
		return call(ctx, c.Jobs)
	}
}

func game[T any](call func(context.Context, *multiplay.Client) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.multiplayClient()
		if err != nil {
			return nil, err
		}
		return call(ctx, c)
	}
}

// collect is all that a sequence yields.
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

const image = "the content of an image"

func uploadRequest() *oraclemarket.UploadRequest {
	return &oraclemarket.UploadRequest{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		File: strings.NewReader(image), Size: int64(len(image)),
	}
}

func keystoneOptions(e *env) keystone.Options {
	return keystone.Options{
		AuthURL: e.base + "/v3", APIKey: "key", APISecret: keySecret, TenantID: "tenant",
		HTTPClient: e.client, Logger: e.logger,
	}
}

func source() multiplay.Source {
	return multiplay.S3Source{AccessKey: s3Key, SecretKey: s3Key, Bucket: "bucket"}
}

type (
	oc = *oraclemarket.Client
	js = *imagereplicator.JobsService
	mc = *multiplay.Client
)

// operations is the table.
func operations() []*operation {
	list := slices.Concat(oracleOperations(), replicatorOperations(), multiplayOperations())
	for _, o := range list {
		if o.target == "" {
			o.target = o.name
		}
	}
	return list
}

func oracleOperations() []*operation {
	initiate := func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
		return c.MachineImages.Initiate(ctx, &oraclemarket.InitiateUploadRequest{
			Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz", NumberOfChunks: 1,
		})
	}
	upload := oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImageUploadRequest, error) {
		return c.MachineImages.Upload(ctx, uploadRequest())
	})
	uploadFile := func(ctx context.Context, e *env) (any, error) {
		c, err := e.oracleClient(nil)
		if err != nil {
			return nil, err
		}
		return c.MachineImages.UploadFile(ctx, filepath.Join("testdata", "image.tar.gz"), uploadRequest())
	}
	// A login for a call that must not be sent twice: whatever happens to the login, the call was never sent.
	login := func(tokens func(e *env) oraclemarket.TokenSource) func(context.Context, *env) (any, error) {
		return func(ctx context.Context, e *env) (any, error) {
			c, err := e.oracleClient(tokens(e))
			if err != nil {
				return nil, err
			}
			return initiate(ctx, c)
		}
	}
	list := []*operation{
		{name: "MachineImages.Create", class: once, upload: true, nulls: unreadable, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
				Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
				File: strings.NewReader(image), Size: int64(len(image)),
			})
		})},
		{name: "MachineImages.Initiate", class: once, nulls: unreadable, run: oracle(initiate)},
		{name: "MachineImages.UploadChunk", class: repeatable, upload: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.ChunkAcknowledgement, error) {
			return c.MachineImages.UploadChunk(ctx, 7, &oraclemarket.Chunk{
				Number: 1, FileName: "image.tar.gz", File: strings.NewReader(image), Size: int64(len(image)),
			})
		})},
		{name: "MachineImages.Merge", class: repeatable, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.MachineImages.Merge(ctx, 7)
		})},
		{name: "MachineImages.Get", class: safe, nulls: unreadable, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImageUploadRequest, error) {
			return c.MachineImages.Get(ctx, 7)
		})},
		{name: "MachineImages.Head", class: safe, content: none, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.UploadSummary, error) {
			return c.MachineImages.Head(ctx, 7)
		})},
		{name: "MachineImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImagePage, error) {
			return c.MachineImages.List(ctx, nil)
		})},
		{name: "MachineImages.All", target: "MachineImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.MachineImages.All(ctx, nil))
		})},
		{name: "MachineImages.Delete", class: repeatable, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.MachineImages.Delete(ctx, 7, "us2")
		})},
		{name: "MachineImages.Wait", target: "MachineImages.Get", class: safe, nulls: unreadable, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImageUploadRequest, error) {
			return c.MachineImages.Wait(ctx, 7)
		})},
		{name: "MachineImages.Watch", target: "MachineImages.Get", class: safe, nulls: unreadable, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.MachineImages.Watch(ctx, 7))
		})},
		{name: "MachineImages.Upload", of: "initiate", target: "MachineImages.Initiate", class: adopted, nulls: unreadable, run: upload},
		{name: "MachineImages.Upload", of: "chunk", target: "MachineImages.UploadChunk", class: repeatable, upload: true, run: upload},
		{name: "MachineImages.Upload", of: "wait", target: "MachineImages.Get", reuses: true, class: safe, nulls: unreadable, run: upload},
		{name: "MachineImages.UploadFile", of: "initiate", target: "MachineImages.Initiate", class: adopted, nulls: unreadable, run: uploadFile},
		{name: "MachineImages.UploadFile", of: "chunk", target: "MachineImages.UploadChunk", class: repeatable, upload: true, run: uploadFile},
		{name: "StorageImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImagePage, error) {
			return c.StorageImages.List(ctx, nil)
		})},
		{name: "StorageImages.All", target: "StorageImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.StorageImages.All(ctx, nil))
		})},
		{name: "StorageImages.Get", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.StorageImage, error) {
			return c.StorageImages.Get(ctx, "mi/app/1.0/Linux/image.tar.gz")
		})},
		{name: "StorageImages.Copy", class: once, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.StorageImages.Copy(ctx, "mi/app/1.0/Linux/image.tar.gz", &oraclemarket.CopyStorageImageRequest{
				SourceDataCenter: "us2", CopyToDataCenters: []string{"em2"},
			})
		})},
		{name: "ClientCredentials", target: "Authenticate", class: safe, login: true, nulls: refused, run: login(func(*env) oraclemarket.TokenSource {
			return oraclemarket.ClientCredentials(keyID, keySecret)
		})},
		{name: "OAMClientCredentials", target: "OAMToken", class: safe, login: true, nulls: refused, run: login(func(e *env) oraclemarket.TokenSource {
			return oraclemarket.OAMClientCredentials(e.base+"/oam/oauth2/tokens", "domain", keyID, keySecret)
		})},
	}
	for _, o := range list {
		o.pkg = "oraclemarket"
	}
	return list
}

func replicatorOperations() []*operation {
	newKeystone := func(change func(*keystone.Options)) func(context.Context, *env) (any, error) {
		return func(ctx context.Context, e *env) (any, error) {
			o := keystoneOptions(e)
			change(&o)
			_, endpoint, err := keystone.New(ctx, o)
			return endpoint, err
		}
	}
	return []*operation{
		{pkg: "imagereplicator", name: "Jobs.Create", class: once, nulls: unreadable, run: jobs(func(ctx context.Context, s js) (string, error) {
			return s.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: "image", DestinationTenantID: "tenant"})
		})},
		{pkg: "imagereplicator", name: "Jobs.Get", class: safe, nulls: unreadable, run: jobs(func(ctx context.Context, s js) (*imagereplicator.Job, error) {
			return s.Get(ctx, "job")
		})},
		{pkg: "imagereplicator", name: "Jobs.List", class: safe, run: jobs(func(ctx context.Context, s js) ([]*imagereplicator.Job, error) {
			return s.List(ctx)
		})},
		{pkg: "imagereplicator", name: "Jobs.Cancel", class: repeatable, content: ignored, run: jobs(func(ctx context.Context, s js) (struct{}, error) {
			return struct{}{}, s.Cancel(ctx, "job")
		})},
		{pkg: "imagereplicator", name: "Jobs.Wait", target: "Jobs.Get", class: safe, nulls: unreadable, run: jobs(func(ctx context.Context, s js) (*imagereplicator.Job, error) {
			return s.Wait(ctx, "job")
		})},
		{pkg: "imagereplicator", name: "Jobs.Watch", target: "Jobs.Get", class: safe, nulls: unreadable, run: jobs(func(ctx context.Context, s js) ([]*imagereplicator.Job, error) {
			return collect(s.Watch(ctx, "job"))
		})},
		{pkg: "keystone", name: "New", of: "API key", target: "Tokens.Create", class: safe, nulls: refused, run: newKeystone(func(*keystone.Options) {})},
		{pkg: "keystone", name: "New", of: "token", target: "Tokens.Get", class: safe, nulls: refused, run: newKeystone(func(o *keystone.Options) {
			o.APIKey, o.APISecret, o.TenantID, o.Token = "", "", "", tokenValue
		})},
	}
}

func multiplayOperations() []*operation {
	release := game(func(ctx context.Context, c mc) (*multiplay.ReleaseResult, error) {
		return c.Release(ctx, &multiplay.ReleaseRequest{ImageID: 1, MachineID: 2, Description: "x", Source: source()})
	})
	list := []*operation{
		{name: "ImageUpdates.Create", class: once, nulls: unreadable, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 2, Description: "x", Source: source()})
		})},
		{name: "ImageUpdates.Status", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Status(ctx, 7)
		})},
		{name: "ImageUpdates.Retry", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Retry(ctx, 7)
		})},
		{name: "ImageUpdates.Wait", target: "ImageUpdates.Status", class: safe, nulls: unfinished, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Wait(ctx, 7)
		})},
		{name: "ImageUpdates.Watch", target: "ImageUpdates.Status", class: safe, nulls: unfinished, run: game(func(ctx context.Context, c mc) ([]*multiplay.ImageUpdateStatus, error) {
			return collect(c.ImageUpdates.Watch(ctx, 7))
		})},
		{name: "ImageDiffs.Create", class: once, nulls: unreadable, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Create(ctx, &multiplay.CreateImageDiffRequest{ImageID: 1, MachineID: 2})
		})},
		{name: "ImageDiffs.Status", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Status(ctx, 7, &multiplay.ImageDiffStatusOptions{Info: true})
		})},
		{name: "ImageDiffs.Retry", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Retry(ctx, 7)
		})},
		{name: "ImageDiffs.Reject", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffRejection, error) {
			return c.ImageDiffs.Reject(ctx, 7, nil)
		})},
		{name: "ImageDiffs.Wait", target: "ImageDiffs.Status", class: safe, nulls: unfinished, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Wait(ctx, 7)
		})},
		{name: "ImageDiffs.Watch", target: "ImageDiffs.Status", class: safe, nulls: unfinished, run: game(func(ctx context.Context, c mc) ([]*multiplay.ImageDiffStatus, error) {
			return collect(c.ImageDiffs.Watch(ctx, 7))
		})},
		{name: "ImageVersions.Create", class: once, nulls: unreadable, run: game(func(ctx context.Context, c mc) (*multiplay.ImageVersionStatus, error) {
			return c.ImageVersions.Create(ctx, &multiplay.CreateImageVersionRequest{DiffID: 7})
		})},
		{name: "ImageVersions.Status", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.ImageVersionStatus, error) {
			return c.ImageVersions.Status(ctx, 7)
		})},
		{name: "ImageVersions.Wait", target: "ImageVersions.Status", class: safe, nulls: unfinished, run: game(func(ctx context.Context, c mc) (*multiplay.ImageVersionStatus, error) {
			return c.ImageVersions.Wait(ctx, 7)
		})},
		{name: "ImageVersions.Watch", target: "ImageVersions.Status", class: safe, nulls: unfinished, run: game(func(ctx context.Context, c mc) ([]*multiplay.ImageVersionStatus, error) {
			return collect(c.ImageVersions.Watch(ctx, 7))
		})},
		{name: "ImageInstalls.List", class: safe, run: game(func(ctx context.Context, c mc) ([]multiplay.ImageInstall, error) {
			return c.ImageInstalls.List(ctx)
		})},
		{name: "ImageInstalls.Queue", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.QueuedImageInstall, error) {
			return c.ImageInstalls.Queue(ctx, &multiplay.QueueImageInstallRequest{JobID: 7})
		})},
		{name: "Images.Options", class: safe, run: game(func(ctx context.Context, c mc) (any, error) {
			options, err := c.Images.Options(ctx, nil)
			if err != nil {
				return nil, err
			}
			url := options.UpdateURL.String()
			options.UpdateURL = multiplay.SourceURL{} // functions cannot be compared
			return []any{url, *options}, nil
		})},
		{name: "Images.SetActive", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.Image, error) {
			return c.Images.SetActive(ctx, 1, true)
		})},
		{name: "Images.RolloutStatus", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.RolloutStatus, error) {
			return c.Images.RolloutStatus(ctx, 1, nil)
		})},
		{name: "Images.WaitRollout", of: "counts", target: "Images.RolloutStatus", reuses: true, class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.RolloutStatus, error) {
			return c.Images.WaitRollout(ctx, 1, 9)
		})},
		{name: "Images.WaitRollout", of: "installs", target: "ImageInstalls.List", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.RolloutStatus, error) {
			return c.Images.WaitRollout(ctx, 1, 9)
		})},
		{name: "Images.WatchRollout", of: "counts", target: "Images.RolloutStatus", reuses: true, class: safe, run: game(func(ctx context.Context, c mc) ([]*multiplay.RolloutStatus, error) {
			return collect(c.Images.WatchRollout(ctx, 1, 9))
		})},
		{name: "Release", of: "update", target: "ImageUpdates.Create", class: once, nulls: unreadable, run: release},
		{name: "Release", of: "diff", target: "ImageDiffs.Create", class: once, nulls: unreadable, run: release},
		{name: "Release", of: "version", target: "ImageVersions.Create", class: once, nulls: unreadable, run: release},
		{name: "Release", of: "wait", target: "ImageUpdates.Status", reuses: true, class: safe, nulls: unfinished, run: release},
		{name: "Release", of: "rollout", target: "Images.RolloutStatus", reuses: true, class: safe, run: release},
	}
	for _, o := range list {
		o.pkg = "multiplay"
	}
	return list
}

// packages are the folders whose exported names these tests know.
func packages() map[string]string {
	return map[string]string{
		"oraclemarket":    "../../oraclemarket",
		"imagereplicator": "../../imagereplicator",
		"keystone":        "../../imagereplicator/keystone",
		"multiplay":       "../../multiplay",
	}
}

// declarations are those of the package's files that are not tests.
func declarations(t *testing.T, dir string) []ast.Decl {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var list []ast.Decl
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		list = append(list, file.Decls...)
	}
	require.NotEmpty(t, list)
	return list
}

// Every exported function or method that takes a context, or makes a TokenSource, is an operation of the table, but for
// those that send no request of their own.
func TestEveryOperationIsInTheTable(t *testing.T) {
	sendsNothing := []string{
		"oraclemarket.StaticToken", "oraclemarket.TokenSourceFunc.Token",
		"imagereplicator.StaticToken", "imagereplicator.TokenSourceFunc.Token",
		"imagereplicator.ProviderTokens", // asks a client of another library
	}
	var listed, found []string
	for _, o := range operations() {
		listed = append(listed, o.pkg+"."+o.name)
	}
	slices.Sort(listed)
	listed = slices.Compact(listed)
	for pkg, dir := range packages() {
		for _, d := range declarations(t, dir) {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !sends(f) {
				continue
			}
			name := f.Name.Name
			if receiver := receiver(f); receiver != "" {
				if !ast.IsExported(receiver) {
					continue
				}
				name = strings.TrimSuffix(receiver, "Service") + "." + name
			}
			name = pkg + "." + strings.TrimPrefix(name, "Client.")
			if !slices.Contains(sendsNothing, name) {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	require.Equal(t, found, listed)
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

func sends(f *ast.FuncDecl) bool {
	if p := f.Type.Params.List; len(p) > 0 {
		if s, ok := p[0].Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Context" {
			return true
		}
	}
	if f.Type.Results == nil {
		return false
	}
	return slices.ContainsFunc(f.Type.Results.List, func(r *ast.Field) bool {
		name, ok := r.Type.(*ast.Ident)
		return ok && name.Name == "TokenSource"
	})
}

// afterwards is longer than any call with a bounded number of tries may take.
const afterwards = 15 * time.Minute
