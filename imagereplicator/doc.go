// Package imagereplicator copies machine images to tenants in other regions of
// NTT's SDPF / Enterprise Cloud 2.0, through the image replicator extension of
// its image storage API, and follows the copies.
//
//	tokens, endpoint, err := keystone.New(ctx, keystone.Options{
//		AuthURL: "https://keystone-jp1-ecl.api.ntt.com/v3", Region: "jp1",
//		APIKey: key, APISecret: secret, TenantID: sourceTenant,
//	})
//	if err != nil {
//		return err
//	}
//	client, err := imagereplicator.New(endpoint, tokens)
//	if err != nil {
//		return err
//	}
//	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
//		ImageID: image, DestinationTenantID: destinationTenant,
//	})
//	if err != nil {
//		return err
//	}
//	job, err := client.Jobs.Wait(ctx, id)
//
// A [Client] calls the region that its endpoint belongs to, which is the one
// that images are copied from; where they go follows from the destination
// tenant, since each tenant belongs to one region. All methods take a context
// first and end with it at once. A client is safe for concurrent use.
//
// # Authentication
//
// Every call carries a Keystone token of the source tenant as X-Auth-Token.
// Package keystone, beside this one, logs in with an API key, an application
// credential or a token and finds the endpoint; only programs that import it
// compile gophercloud in. [ProviderTokens] takes the tokens of a gophercloud
// client that a program has already, [StaticToken] one that was got elsewhere;
// any other [TokenSource] will do. The client caches the token, replaces it
// before it ends (NTT's live one hour), and once more when the service refuses
// it: calls that are refused together cause one log-in.
//
// The token goes to the scheme, host and port of the endpoint and nowhere else,
// and not over plain http unless the host is a loopback address or
// [WithInsecureHTTP] is given. Redirects are not followed; they are errors that
// name their target.
//
// # Retries
//
// Whether a call that failed is sent again depends on what it does:
//
//   - Get, List, Wait and Watch only read. They are repeated after connection
//     failures, the statuses 408, 429, 500, 502, 503 and 504, and answers that
//     are cut or make no sense.
//   - Cancel may be repeated without harm, and is, for the same reasons. When
//     the repetition is refused because the first try was accepted, it succeeds.
//   - Create would copy twice. It is repeated only when the service certainly
//     did not carry it out: no connection was made, or the answer was 429. In
//     all other cases the error matches [ErrAmbiguous], and List tells what
//     happened; the second example of Create shows how.
//
// There are 5 tries by default, between them 0.5 s to 30 s with jitter, or what
// a Retry-After header asks for; one of more than two minutes ends the call. A
// try has 30 s. Retries cost from a budget that successes fill, so that a
// service in trouble is not asked more and more often. See [WithRetry].
//
// # Waiting
//
// [JobsService.Wait] returns when a job has ended; [JobsService.Watch] yields
// each change on the way. Both look at once, again within a second and then less
// and less often, down to every 7.5 to 15 seconds; see [WithPollInterval]. They
// have no time limit of their own, because the service has none: in its
// documented example a cancellation has not begun after two minutes. Any number
// of jobs can be waited for at once; a waiter costs about 8 KB, and all share
// the client's connections.
//
// A look that fails in passing, after its own tries, is repeated for 5 minutes
// since the last good one, so that both go through short outages. The first look
// ends waiting if it fails.
//
// A job that ends canceled or in error is a [*StateError]. After Cancel the job
// can also end replicated, when the copy was complete first. A status that is
// not known is passed on as it is, and is no end.
//
// # Errors
//
// Wrong arguments are found before anything is sent, name the field, and match
// [ErrInvalidArgument]. A call that the service refuses or does not answer is an
// [*Error] with operation, status, message, tries and a hint what to do; compare
// it with the sentinels, as in errors.Is(err, imagereplicator.ErrConflict). The
// service's pages give some statuses several meanings that its answers do not
// tell apart; the hint lists them. No error, log record or printed value of this
// package holds a token.
//
// # Testing
//
// Package imagereplicatortest is the service as a local server, with a Keystone,
// and with faults to inject. It needs no account and no testing.T.
package imagereplicator
