// Package oraclemarket uploads machine images to the Oracle Cloud Marketplace
// and follows them. It is a client of the [Publisher REST API], v1.
//
// [Client.MachineImages] uploads images and manages their upload requests;
// [Client.StorageImages] lists and copies the stored files.
//
// # Authentication
//
// Every call carries an access token and the partner user's e-mail address.
// [ClientCredentials] requests tokens from the API host, [OAMClientCredentials]
// from Oracle Access Manager; [FromEnv] reads credentials from the environment.
// Tokens are refreshed before they expire and sent only to the base URL's
// origin.
//
// # Retries
//
//   - Create, Initiate and Copy are resent only if the request certainly never
//     took effect; otherwise they fail with [ErrAmbiguous].
//   - Other calls are retried after transient failures, see [IsTransient] and
//     [WithRetry].
//
// # Uploads
//
//   - [MachineImagesService.Upload] and UploadFile send chunks in parallel, have
//     them merged and wait for the result. The image is a file, or a Reader that
//     is read once.
//   - With [FileCheckpoints] or another [CheckpointStore], the same call resumes
//     after a crash. [MachineImagesService.DiscardUpload] deletes what an
//     unfinished upload left.
//   - [MachineImagesService.UploadRange] and MergeRanges share one large image
//     among several machines.
//
// # Waiting
//
//   - [MachineImagesService.Wait] and Watch run until the request has ended or
//     ctx is done. [MachineImagesService.WaitAll] and WatchAll follow any number
//     of requests with one list per poll, WaitDeleted a delete.
//   - They ride out transient failures for five minutes by default.
//   - If a request ended badly, the error is a [*StateError].
//
// # Errors
//
//   - A wrong argument is an [*ArgumentError], found before any request.
//   - A failed call is an [*Error]. Compare it with sentinels such as
//     [ErrNotFound].
//   - No error, log record or printed value holds a secret.
//
// # Observing
//
// [WithLogger], [WithObserver] and [WithAttemptStart] show each attempt of a
// request, for logs, metrics and traces. [CaptureAttempt] stores the last one of
// a call, with status, request id and rate limits.
//
// # Testing
//
// Package [github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest] runs
// the service as a local server with faults to inject.
//
// [Publisher REST API]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/index.html
package oraclemarket
