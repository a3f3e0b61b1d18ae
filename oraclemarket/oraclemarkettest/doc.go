// Package oraclemarkettest is the Oracle Cloud Marketplace Publisher API for machine images as a local HTTP server: for
// tests of programs that upload images, and to try things out without an account.
//
//	server := oraclemarkettest.NewServer()
//	defer server.Close()
//	client := server.Client() // of package oraclemarket, ready to use
//
// It needs no testing.T, keeps uploads on disk and not in memory, and speaks the wire format of the documentation, whose
// curl commands work as printed once the host is replaced and a file is given.
//
// # Documented behaviour
//
// Paths, methods, headers, form fields, query parameters and their bounds, and the members of all JSON answers. Ids are
// strings in acknowledgements and chunk answers and numbers in records. Chunks are accepted in any order and with any
// number, and checked against X-Number-Of-Chunks at the merge. X-MD5-Checksum is verified where it is sent. A delete takes
// a list of data centers or none. The older and the newer token endpoint, and the newer one's answer; tokens live for 7
// days. The nine states, and both spellings of the two that the documentation misspells, in filters.
//
// # Behaviour of our own
//
// Where the documentation is silent, the server does this, and a program should not rely on the service doing the same:
//
//   - Error answers are {"message": "...", "errorCode": "..."}: the documentation shows none.
//   - A missing X-Oracle-UserId header is answered 401. Any value is accepted unless [WithUsers] is used, and so is the
//     documentation's "Bearer Access-token" unless [WithStaticTokens] is.
//   - There is no XML: an Accept header that leaves no room for JSON is answered 406, an XML body 415.
//   - A create or initiate call needs application, version and operatingSystem in its json field. A file may come with the
//     initiate call, as the documentation's prose has it; that is then the first chunk.
//   - The merge accepts chunks that are numbered from 0 and chunks that are numbered from 1; missing ones and gaps are
//     answered 400 with a text. A chunk that is sent again replaces the first. Only a chunk that was received to its end
//     and agrees with its checksum counts.
//   - A merge or a delete that is repeated is acknowledged again. Chunks after the merge are answered 400.
//   - After the merge, or the whole file, an upload request is Pending for a tenth of the job time, In Progress for six
//     tenths and in the virus scan for three; see [WithJobTime], [WithSpeed] and [Outcome]. Its first data centers get the
//     bytes while it is In Progress.
//   - The list is in the order of the ids unless orderby is given, and includes deleted upload requests. Its keyword is
//     looked for in the file name, too. The last page has no NEXT link.
//   - What a deleted upload request held is gone; its record stays as Deleted. Data centers that are not known are ignored
//     in a delete, and an empty list of them is answered 400.
//   - Storage images are what Completed upload requests have left in the data centers, the newest if several have one
//     path. A copy shows up among the data centers of the upload request, which its answer names.
//   - The documentation's sample record, [SampleID], can be asked for by its id and is in no list.
//
// Where the documentation contradicts itself there are options for the other reading: [WithCreated201], [WithBareItems],
// [WithPrintedStatuses], [WithFirstChunkNumber], [WithCheckSum].
//
// # Faults
//
// [Server.Inject] makes requests fail: with a status, a dropped connection, a stall, a broken answer and more. See [Fault].
//
// # Looking inside
//
// [Server.Requests] has the log of all requests, [Server.Uploads] what was uploaded, [Server.TokensIssued] and
// [Server.ExpireTokens] are about tokens.
//
// # Time
//
// A job's state is computed when somebody asks; nothing runs in the background. So a test can stop the clock with
// [WithClock], or run in a testing/synctest bubble with an in-memory listener and [WithListener].
package oraclemarkettest
