package oraclemarket

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/imagejobs/imagejobs-go/internal/formdata"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func createBody(req *CreateMachineImageRequest) (*transport.Body, error) {
	return formBody(formdata.New().
		Field("json", imageJSON(req.Application, req.Version, req.OperatingSystem, req.OverwriteStorageFile)).
		File("file", req.FileName, req.File, req.Size))
}

func imageJSON(application, version, operatingSystem string, overwrite *bool) string {
	data, _ := json.Marshal(struct { // strings and a bool always encode
		Application          string `json:"application"`
		Version              string `json:"version"`
		OperatingSystem      string `json:"operatingSystem"`
		OverwriteStorageFile *bool  `json:"overwriteStorageFile,omitempty"`
	}{application, version, operatingSystem, overwrite})
	return string(data)
}

// fileHeader has the file's name and checksum. A header cannot hold all names
// as they are: one that is not ASCII goes percent-encoded, while the form part
// has it verbatim.
func fileHeader(fileName, md5 string) http.Header {
	h := http.Header{}
	h.Set("X-File-Name", headerFileName(fileName))
	if md5 != "" {
		h.Set("X-MD5-Checksum", md5)
	}
	return h
}

func headerFileName(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return url.PathEscape(name)
		}
	}
	return name
}

func formBody(form *formdata.Form) (*transport.Body, error) {
	contentType, size, open, err := form.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg, err)
	}
	return &transport.Body{ContentType: contentType, Size: size, Open: open}, nil
}
