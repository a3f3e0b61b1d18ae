// Package oraclemarket uploads machine images to the Oracle Cloud Marketplace
// through the Publisher REST API, v1, and follows them.
//
//	client, err := oraclemarket.New("partner@example.com", oraclemarket.ClientCredentials(id, secret))
//	if err != nil {
//		return err
//	}
//	image, err := client.MachineImages.UploadFile(ctx, "wordpress.tar.gz", &oraclemarket.UploadRequest{
//		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
//		Checkpoints: oraclemarket.FileCheckpoints("state"),
//	})
//
// A [Client] has a service for each resource of the API: MachineImages, the
// upload requests, and StorageImages, the files in the data centers. Each
// method names the operation it calls and the page that documents it. All of
// them take a context first and end with it at once. A client is safe for
// concurrent use.
//
// # Authentication
//
// Every call carries an access token and the e-mail address of the partner
// user. [ClientCredentials] gets tokens from the API host, which is the newer
// way; [OAMClientCredentials] from Oracle Access Manager; [StaticToken] is for
// a token that was got elsewhere; any other [TokenSource] will do. The client
// caches the token, replaces it before it ends, and once more when the service
// refuses it: calls that are refused together cause one request for a token.
//
// Credentials go to the scheme, host and port of the base URL and nowhere
// else, and not over plain http unless the host is a loopback address or
// [WithInsecureHTTP] is given. Redirects are not followed; they are errors
// that name their target.
//
// # Retries
//
// Whether a call that failed is sent again depends on what it does:
//
//   - Get, Head, List, All and the token requests only read. They are repeated
//     after connection failures, the statuses 408, 429, 500, 502, 503 and 504,
//     and answers that are cut or make no sense.
//   - UploadChunk, Merge and Delete may be repeated without harm, and are, for
//     the same reasons.
//   - Create, Initiate and StorageImages.Copy would do their work twice. They
//     are repeated only when the service certainly did not carry them out: no
//     connection was made, or the answer was 429. In all other cases the error
//     matches [ErrAmbiguous], and List, or Get, tells what happened.
//
// There are 5 tries by default, between them 0.5 s to 30 s with jitter, or what
// a Retry-After header asks for; one of more than two minutes ends the call.
// Retries cost from a budget that successes fill, so that a service in trouble
// is not asked more and more often. A host name that does not exist and a
// certificate that is not trusted are final. A small call has 30 s a try, an
// upload ends when no byte has moved for 60 s ([ErrStalled]). See [WithRetry] and
// [WithTimeouts]. A client has at most 64 requests under way; others wait for
// their turn, and their time starts with it.
//
// # Uploads
//
// Create sends a whole file in one request, which is right for small ones.
// [MachineImagesService.Upload] and UploadFile send chunks in parallel, each
// with its MD5, have them merged, and wait for the result. Bytes are read from
// the file as they are sent: the memory that an upload takes depends neither on
// the size of the file nor on that of the chunks. Content-Length is exact.
//
// # Resuming
//
// With a [CheckpointStore] an upload survives a crash. Its state is saved before
// the service is asked for an upload request and after each chunk that the
// service acknowledged. The same call, made again by any process that has the
// store and the file, asks the service how far it is and goes on there. A file
// that has changed is refused ([ErrSourceChanged]), as is a checkpoint that is in
// use ([ErrCheckpointLocked]) or damaged ([ErrCheckpointInvalid]). An upload whose
// very first answer was lost is found again by listing, so that no image leaves
// two upload requests, unless the service carries out the first call more than
// half a minute after it was lost.
//
// # Waiting
//
// [MachineImagesService.Wait] returns when an upload request has ended;
// [MachineImagesService.Watch] yields each change on the way. Both look at once,
// again within a second and then less and less often, down to every 7.5 to 15
// seconds; see [WithPollInterval]. A request that ended badly is a [*StateError].
//
// A look that fails in passing, after its own tries, is repeated for 5 minutes
// since the last good one, so that both go through short outages. The first look
// ends waiting if it fails.
//
// # Errors
//
// Wrong arguments are found before anything is sent, name the field, and match
// [ErrInvalidArgument]. A call that the service refuses or does not answer is an
// [*Error] with operation, status, message, tries and a hint what to do; compare
// it with the sentinels, as in errors.Is(err, oraclemarket.ErrNotFound). No
// error, log record or printed value of this package holds a secret.
//
// # Testing
//
// Package oraclemarkettest is the service as a local server, with faults to
// inject. It needs no account and no testing.T.
package oraclemarket
