// Package oraclemarket uploads machine images to the Oracle Cloud Marketplace
// and follows them. It is a client of the [Publisher REST API], v1.
//
// [Client.MachineImages] uploads images and manages their upload requests;
// [Client.StorageImages] lists and copies the files in the data centers. All
// methods return promptly when their context is done.
//
// # Authentication
//
// Every call carries an access token and the partner user's e-mail address.
// [ClientCredentials] requests tokens from the API host, [OAMClientCredentials]
// from Oracle Access Manager; [FromEnv] reads credentials from the environment.
// Tokens are refreshed before they end and sent to the base URL's origin alone.
//
// # Retries
//
//   - Get, Head, List, UploadChunk, Merge and Delete are retried after transient
//     failures, see [IsTransient] and [WithRetry].
//   - Create, Initiate and Copy are resent only if the request certainly never
//     took effect; otherwise they fail with [ErrAmbiguous].
//
// # Uploads
//
//   - [MachineImagesService.Upload] and UploadFile send chunks in parallel, have
//     them merged and wait for the result. Memory stays flat.
//   - An upload that makes no progress for a minute fails with [ErrStalled].
//
// # Resuming
//
//   - With a [CheckpointStore], the same call resumes after a crash: see
//     [FileCheckpoints].
//   - A lost first response is searched for in List before there is another
//     upload request.
//
// # Waiting
//
//   - [MachineImagesService.Wait] and [MachineImagesService.Watch] run until the
//     request or ctx ends, and ride out transient failures for five minutes.
//   - A request that ended badly is a [*StateError].
//
// # Errors
//
//   - A wrong argument is an [*ArgumentError], found before any request.
//   - A failed call is an [*Error]; sentinels such as [ErrNotFound] match it.
//   - No error, log record or printed value holds a secret.
//
// # Testing
//
// Package [github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest] runs
// the service as a local server with faults to inject.
//
// [Publisher REST API]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/index.html
package oraclemarket
