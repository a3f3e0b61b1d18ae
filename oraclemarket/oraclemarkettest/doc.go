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
// Paths, methods, headers, form fields, query parameters and their bounds, JSON
// members and states. Chunks come in any order; the merge checks them against
// X-Number-Of-Chunks. X-MD5-Checksum is verified. Tokens live for 7 days.
// [Dialect] chooses where the documentation contradicts itself.
//
// # Observed
//
// Form fields are found by name, whatever else a part declares.
//
// # Inferred
//
// Chunks count from 0 or from 1. A chunk sent again replaces the first. Jobs
// run from Pending through In Progress and the virus scan to Completed. Deleted
// upload requests stay in the list.
//
// # Ours
//
//   - Errors are {"message": "...", "errorCode": "..."}. XML gets a 406 or 415.
//   - application, version, operatingSystem and uploadType are required.
//   - A repeated merge or delete is acknowledged again; an empty list of data
//     centers is refused.
//   - Storage images are what Completed upload requests left behind; the newest
//     wins.
//   - The sample record [SampleID] is in no list.
//
// [Oracle Cloud Marketplace Publisher API]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/
package oraclemarkettest
