package activities_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/fleet/activities"
)

// object is an object of a bucket. A real one reads ranges, and keeps the
// streams open that it reads them from.
type object struct {
	*strings.Reader // has ReadAt and Size

	etag string
}

func (o object) Version() (string, error) { return o.etag, nil }
func (o object) Close() error             { return nil }

// With an opener, workers upload objects of a bucket. Its credentials are in
// their environment.
func ExampleOpener() {
	worker := activities.FromEnv()
	worker.Openers = map[string]activities.Opener{
		"bucket": func(_ context.Context, source *url.URL) (activities.Source, error) {
			return object{strings.NewReader("the image " + source.Path), `"1"`}, nil
		},
	}
	image, err := worker.Openers["bucket"](context.Background(), &url.URL{Scheme: "bucket", Host: "nightly", Path: "/image.tar.gz"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.Size(), "bytes")
	// Output: 23 bytes
}
