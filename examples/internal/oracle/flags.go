package oracle

import (
	"cmp"
	"context"
	"flag"
	"strconv"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Flags are the flags of the programs that upload an image.
type Flags struct {
	Application, Version, System string
	Overwrite                    *bool // nil without -overwrite
	ChunkSize                    cli.Size
	Concurrency                  int
	CheckpointDir                string
	Restart, NoWait              bool
}

// Fields returns the flag of each field that an error may name. fileName is that
// of the file's name.
func Fields(fileName string) map[string]string {
	return map[string]string{
		"ImageUpload.Application":     "-application",
		"ImageUpload.Version":         "-image-version",
		"ImageUpload.OperatingSystem": "-os",
		"ImageUpload.FileName":        fileName,
		"ImageUpload.ChunkSize":       "-chunk-size",
		"ImageUpload.Concurrency":     "-concurrency",
		"FileCheckpoints: dir":        "-checkpoint-dir",
	}
}

// Define defines the flags.
func (f *Flags) Define(flags *flag.FlagSet) {
	flags.StringVar(&f.Application, "application", "", "name of the image")
	flags.StringVar(&f.Version, "image-version", "", "version of the image")
	flags.StringVar(&f.System, "os", "", "operating system of the image")
	flags.BoolFunc("overwrite", "replace a stored file of the same path; without it the service decides", func(text string) error {
		overwrite, err := strconv.ParseBool(text)
		f.Overwrite = &overwrite
		return err
	})
	flags.Var(&f.ChunkSize, "chunk-size", "`size` of a chunk, such as 32MiB; without it, 16 to 64 MiB as fits the image")
	flags.IntVar(&f.Concurrency, "concurrency", 0, "chunks in flight, 1 to 64; without it, up to 4 as the line carries them")
	flags.StringVar(&f.CheckpointDir, "checkpoint-dir", ".imagejobs", "folder for the state of interrupted uploads")
	flags.BoolVar(&f.Restart, "restart", false, "discard what an interrupted upload left, and start over")
	flags.BoolVar(&f.NoWait, "no-wait", false, "end when the image is received, not when it is Completed")
}

// Check completes the flags for the built-in service, and checks what the
// client does not.
func (f *Flags) Check(demo bool) error {
	if demo {
		f.Application = cmp.Or(f.Application, "sample-image")
		f.Version = cmp.Or(f.Version, "1.0")
		f.System = cmp.Or(f.System, "Linux")
	}
	if f.CheckpointDir == "" {
		return cli.UsageError("-checkpoint-dir must not be empty")
	}
	return nil
}

// Request returns the upload that the flags describe, without its file.
func (f *Flags) Request(shown *Upload) *oraclemarket.ImageUpload {
	req := &oraclemarket.ImageUpload{
		Application: f.Application, Version: f.Version, OperatingSystem: f.System, OverwriteStorageFile: f.Overwrite,
		ChunkSize: int64(f.ChunkSize), Concurrency: f.Concurrency, NoWait: f.NoWait,
		Progress: shown.Progress, StatusChanged: shown.Status,
	}
	if !shown.Out.Demo { // the built-in service forgets all uploads at its end
		req.Checkpoints = oraclemarket.FileCheckpoints(f.CheckpointDir)
	}
	return req
}

// Discard discards what an interrupted upload left, if -restart is given.
func (f *Flags) Discard(ctx context.Context, client *oraclemarket.Client, req *oraclemarket.ImageUpload) error {
	if !f.Restart || req.Checkpoints == nil {
		return nil
	}
	return client.MachineImages.DiscardUpload(ctx, req)
}

// CheckAccount finds out for -check whether the credentials are accepted.
func CheckAccount(ctx context.Context, out *cli.Output, client *oraclemarket.Client, req *oraclemarket.ImageUpload) error {
	if _, err := client.MachineImages.List(ctx, &oraclemarket.ListMachineImagesOptions{Limit: 1}); err != nil {
		return err
	}
	out.Emit(cli.Event{Event: cli.Result}, "checked: arguments, %s of %s, and credentials; nothing was uploaded",
		req.FileName, cli.FormatSize(req.Size))
	return nil
}
