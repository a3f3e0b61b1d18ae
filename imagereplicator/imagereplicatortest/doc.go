// Package imagereplicatortest is the image replicator as a local HTTP server, with a Keystone to log in at: for tests of
// programs that use package imagereplicator, for its own tests and for the examples. It needs no testing.T.
//
//	server := imagereplicatortest.NewServer(imagereplicatortest.WithSpeed(100))
//	defer server.Close()
//	client := server.Client()
//	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
//		ImageID:             imagereplicatortest.ImageID,
//		DestinationTenantID: imagereplicatortest.DestinationTenantID,
//	})
//
// One server plays all regions: which one a call is made in follows from the tenant that its token is scoped to. There
// are one source tenant, three destination tenants and two images from the start, and the job, the token and the ids of
// the API reference's execution example, so that its request is answered as printed there. That job stays as it is;
// see [Server.SetStatus].
//
// # Documented
//
// Paths, methods, fields and status codes of the four operations; the names of the states; that a job can be canceled
// only while replicate_requested or replicating (409 otherwise) and goes on being listed; the text of a 401, with its
// headers; the layout of the JSON as in the execution example. Of Keystone: what OpenStack's API reference says of
// POST and GET /v3/auth/tokens, with the one-hour tokens of NTT.
//
// # Ours
//
// The way through the states: replicate_requested, replicating, replicated or error; after a cancellation
// cancel_requested, canceling, canceled, or, with [WithLostCancel], replicated all the same. That progress is in percent
// and the destination image has an id from replicating on. The bodies of 400, 404 and 409, which are those of Glance's
// library: JSON, HTML or text by the Accept header. That an unknown tenant is a 404 (the pages say 401, 404 and 409 in
// different places), that jobs of other tenants are a 404, that jobs are listed in the order of their creation.
//
// # Failures
//
// [Server.Inject] makes requests fail by operation: with a status, a delay, a dropped connection, a spoilt answer.
// [Server.ExpireTokens] and [Server.RejectToken] make tokens invalid.
package imagereplicatortest
