// Package conformance holds tests alone: the promises that the three clients make together, each kept by every operation and
// every exported type. What is tested is listed by hand and compared with the source, so that a new operation or type
// without a line here turns the tests red.
//
//   - operations_test.go lists the operations, with what the documentation says may be repeated;
//   - matrix_test.go runs each of them through each fault of faults_test.go, and compares what happened with what the
//     promises say (oracle_test.go);
//   - types_test.go prints each exported type in every way there is, in search of secrets;
//   - origin_test.go follows the credentials, through redirects and odd base URLs;
//   - api_test.go compares the exported API with testdata/api, and the clients with each other;
//   - alloc_test.go counts the allocations of the calls that programs make most;
//   - concurrency_test.go has five hundred goroutines share a client, and leaves iterations half done.
package conformance
