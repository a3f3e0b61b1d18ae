// Package oraclemarkettest is the machine image part of the [Oracle Cloud
// Marketplace Publisher API] as a local HTTP server, for tests of programs that
// use package oraclemarket. It needs no testing.T and no account.
//
//	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
//	defer server.Close()
//	server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: 502})
//	err := release(ctx, server.Client()) // the code under test
//	uploads := server.Uploads()
//
// Uploads are kept on disk. A job's state is computed when it is asked for, so
// [WithClock] and testing/synctest work.
//
// # Documented
//
//   - Paths, methods, headers, form fields, query parameters and their bounds,
//     JSON members and states. [Dialect] chooses where the documentation
//     contradicts itself.
//   - X-File-Name is required, under this name alone. An initiate call has
//     X-Number-Of-Chunks and uploadType.
//   - Chunks come in any order; the merge, a form with the field action=upload,
//     checks them against X-Number-Of-Chunks. X-MD5-Checksum is verified.
//   - X-Oracle-UserId is a user of the account, see [WithUsers].
//   - Tokens live for 7 days.
//
// # Observed
//
// Form fields are found by name, whatever else a part declares.
//
// # Inferred
//
//   - Without overwriteStorageFile, a create or initiate call is refused for the
//     path of a file that is stored or on its way there.
//   - Chunks count from 0 or from 1. A chunk sent again replaces the first.
//   - Jobs run from Pending through In Progress and the virus scan to Completed.
//     Deleted upload requests stay in the list.
//
// # Our choices
//
//   - Errors are {"message": "...", "errorCode": "..."}. XML, although documented,
//     gets a 406 where it is asked for and a 415 where it is sent.
//   - application, version and operatingSystem are required. An unknown user is a
//     401, a file that must not be overwritten a 400.
//   - A repeated merge or delete is acknowledged again; an empty list of data
//     centers is refused.
//   - Storage images are what Completed upload requests left behind; the newest
//     wins.
//   - The sample record [SampleID] is in no list, and its file can be uploaded
//     again.
//
// [Oracle Cloud Marketplace Publisher API]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/
package oraclemarkettest
