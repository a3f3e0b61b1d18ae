package oraclemarket

import "crypto/md5" //nolint:gosec // the service's checksum, not a protection

// Validate returns the [*ArgumentError] that [MachineImagesService.Upload]
// would, so that a pipeline can fail before it builds the image.
// [MachineImagesService.UploadFile] fills in FileName, File and Size itself.
func (r *ImageUpload) Validate() error {
	if err := r.checkNamed(); err != nil {
		return err
	}
	if err := r.checkSource(); err != nil {
		return err
	}
	if r.ChunkSize > 0 && (r.Size-1)/r.ChunkSize >= maxChunks {
		return invalid("ImageUpload.ChunkSize", "makes more than %d chunks of %d bytes", maxChunks, r.Size)
	}
	return nil
}

func (r *ImageUpload) checkSource() error {
	switch {
	case r.Reader == nil:
		return checkFile("ImageUpload", r.File, r.Size, "")
	case r.File != nil:
		return invalid("ImageUpload.Reader", "must be nil if File is set")
	default:
		return checkSize("ImageUpload", r.Size)
	}
}

// checkNamed validates all but the file itself.
func (r *ImageUpload) checkNamed() error {
	if err := r.checkSettings(); err != nil {
		return err
	}
	return checkFileName("ImageUpload", r.FileName)
}

// checkSettings validates what does not concern the file.
func (r *ImageUpload) checkSettings() error {
	const name = "ImageUpload"
	if r == nil {
		return invalid(name, "must not be nil")
	}
	if err := checkImageName(name, r.Application, r.Version, r.OperatingSystem); err != nil {
		return err
	}
	switch {
	case r.ChunkSize < 0:
		return invalid(name+".ChunkSize", "must be positive, or 0 for the default, not %d", r.ChunkSize)
	case r.Concurrency < 0:
		return invalid(name+".Concurrency", "must be positive, or 0 for the default, not %d", r.Concurrency)
	case r.Concurrency > maxConcurrency:
		return invalid(name+".Concurrency", "must be at most %d, not %d", maxConcurrency, r.Concurrency)
	case r.BytesPerSecond < 0:
		return invalid(name+".BytesPerSecond", "must be positive, or 0 for no limit, not %d", r.BytesPerSecond)
	}
	if err := r.checkHash(); err != nil {
		return err
	}
	_, err := pollOptions(r.WaitOptions)
	return err
}

func (r *ImageUpload) checkHash() error {
	if r.DisableChecksum {
		return nil
	}
	newMD5 := r.NewMD5
	if newMD5 == nil {
		newMD5 = md5.New
	}
	h := newMD5()
	if h == nil || h.Size() != md5.Size {
		return invalid("ImageUpload.NewMD5", "must return hashes of %d bytes", md5.Size)
	}
	defer closeHash(h)
	if _, err := h.Write(nil); err != nil { // as with GODEBUG=fips140=only
		return invalid("ImageUpload.DisableChecksum", "must be true: %v", err)
	}
	return nil
}
