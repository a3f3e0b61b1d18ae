// Package imagereplicatortest is the [image replicator] of NTT's SDPF as a
// local HTTP server, with a Keystone to log in at, for tests of programs that
// use package imagereplicator. It needs no testing.T and no account.
//
//	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
//	defer server.Close()
//	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpGet, Status: 502})
//	err := copyImage(ctx, server.Client(), imagereplicatortest.ImageID) // the code under test
//	jobs := server.Jobs()
//
// One server is all regions: the tenant of a call's token determines the
// region. The tenants, two images, and the job and token of the documentation's
// example exist from the start. That job never changes; see [Server.SetStatus].
//
// # Documented
//
// Paths, methods, fields, status codes and state names. A create call has the
// content type application/json. A job can be canceled while replicate_requested
// or replicating, otherwise the status is 409; it stays in the list. The text and headers of a 401. The layout of the JSON.
// Keystone's POST and GET /v3/auth/tokens, and tokens that live for an hour.
//
// # Observed
//
// Errors other than 401 look like those of Glance's library: JSON, HTML or
// text, as the Accept header asks. Keystone refuses an application credential
// that it does not know with a 404, everything else with a 401; seen with
// Debian's Keystone 22, not at NTT.
//
// # Inferred
//
// Progress is in percent. An unknown image or tenant is a 404, as are other
// tenants' jobs, and another content type a 415.
//
// # Our choices
//
// Jobs go from replicate_requested through replicating to replicated or error.
// After a cancellation they go through cancel_requested and canceling to
// canceled, or with [WithLostCancel] to replicated nevertheless. The destination
// image has an id from replicating on. Lists are in the order of creation.
//
// [image replicator]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Copy_image.html
package imagereplicatortest
