// Package keystone logs in at an OpenStack Keystone with [Identity API v3] and
// finds the image storage, for package
// [github.com/imagejobs/imagejobs-go/imagereplicator]. It is built on
// gophercloud, and a package of its own so that only programs that import it
// link gophercloud.
//
// [New] logs in with [Options], which [FromEnv] and [FromCloud] read from the
// OS_ variables and clouds.yaml. [Session.Client] is then ready for use, and
// [Session.ImageService] looks up images with gophercloud.
//
// # Authentication
//
//   - Log in with an API key and secret, an application credential, a token, or
//     any other method of gophercloud.
//   - Secrets are sent only to the host of [Options].AuthURL, over https unless
//     it is a loopback address. Redirects are not followed, and API versions
//     are not discovered.
//   - A new token is requested before the old one expires by the server's clock,
//     once for all that use the [Session].
//
// # Errors
//
//   - A wrong option is an [*imagereplicator.ArgumentError], found before any
//     request.
//   - A failed login is an [*imagereplicator.Error].
//   - No error, log record or printed value holds a secret.
//
// # Testing
//
// Package
// [github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest] runs
// a local Keystone to log in at.
//
// [Identity API v3]: https://docs.openstack.org/api-ref/identity/v3/
package keystone
