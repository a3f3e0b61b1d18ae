package multiplay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// release brings a build to the game servers. It keeps the ids of what it began
// in a file, so that another call resumes it after Ctrl-C or a crash.
func release(ctx context.Context, client *multiplay.Client, build, file string) error {
	request := &multiplay.ReleaseRequest{
		ImageID:     1249,
		GameID:      77, // to find a job whose creation got no response
		MachineID:   95394,
		Description: build,
		Source:      multiplay.SteamSource{AppID: 740},
		Restart:     true,
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = store(file, request.Resume) // begun, but without an id
	case err == nil:
		err = json.Unmarshal(data, &request.Resume)
		if err == nil && request.Resume == (multiplay.ReleaseIDs{}) {
			err = fmt.Errorf("the update may exist: check Images.Options, then put its id into %s or delete the file", file)
		}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request.OnEvent = func(e multiplay.ReleaseEvent) {
		log.Printf("%s: %+v", e.Step, e.ReleaseIDs)
		if err := store(file, e.ReleaseIDs); err != nil {
			cancel(err) // a release that cannot be resumed ends here
		}
	}
	result, err := client.Release(ctx, request)
	if err == nil {
		fmt.Println("released to", result.Rollout.Completed, "machines")
		return os.Remove(file)
	}
	stopped, began := errors.AsType[*multiplay.ReleaseError](err)
	began = began && stopped.ReleaseIDs != (multiplay.ReleaseIDs{}) || errors.Is(err, multiplay.ErrAmbiguous)
	if !began {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// store replaces the file as a whole.
func store(file string, ids multiplay.ReleaseIDs) error {
	data, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// Release a build, through a restart.
func Example_release() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client() // of the service itself: multiplay.FromEnv()

	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "release.json")

	ctx, interrupt := context.WithCancel(context.Background())
	server.Inject(multiplaytest.Fault{
		Operation: multiplaytest.OpDiffStatus,
		Match:     func(*http.Request) bool { interrupt(); return false },
	})
	err = release(ctx, client, "build 42", file)
	fmt.Println("interrupted:", errors.Is(err, context.Canceled))

	if err := release(context.Background(), client, "build 42", file); err != nil {
		log.Print(err)
	}
	for _, operation := range []string{
		multiplaytest.OpUpdateCreate, multiplaytest.OpDiffCreate, multiplaytest.OpVersionCreate,
	} {
		fmt.Println(operation, server.Processed(operation))
	}
	// Output:
	// interrupted: true
	// released to 3 machines
	// ImageUpdates.Create 1
	// ImageDiffs.Create 1
	// ImageVersions.Create 1
}
