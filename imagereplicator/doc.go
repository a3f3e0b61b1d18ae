// Package imagereplicator copies machine images between regions of NTT's SDPF /
// Enterprise Cloud 2.0. It is a client of the [image replicator], an extension
// of the image storage API.
//
// [JobsService.CopyToTenants] copies an image to any number of tenants;
// [Client.Jobs] also creates, lists and cancels single jobs and waits for them. A
// [Client] calls the region that images are copied from. The destination tenant
// determines the region that they are copied to.
//
// # Authentication
//
// Every call carries a Keystone token of the source tenant. Package
// [github.com/imagejobs/imagejobs-go/imagereplicator/keystone] logs in and finds
// the endpoint. The token is refreshed before it expires and sent only to the
// endpoint's origin.
//
// # Retries
//
//   - Get, List and Cancel are retried after transient failures, see
//     [IsTransient] and [WithRetry].
//   - If the response to Create is lost, List is searched for its job before the
//     request is repeated. If that is inconclusive, Create fails with
//     [ErrAmbiguous].
//
// # Waiting
//
//   - [JobsService.Wait] and Watch run until the job has ended or ctx is done.
//     [JobsService.WaitAll] and WatchAll follow any number of jobs with one list
//     per poll.
//   - They ride out transient failures for five minutes by default.
//   - If a job ended canceled or in error, the error is a [*StateError].
//
// # Errors
//
//   - A wrong argument is an [*ArgumentError], found before any request.
//   - A failed call is an [*Error]. Compare it with sentinels such as
//     [ErrConflict].
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
// Package [github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest]
// runs the service as a local server with faults to inject.
//
// [image replicator]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Copy_image.html
package imagereplicator
